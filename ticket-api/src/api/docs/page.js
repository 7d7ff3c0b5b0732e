// Draws the OpenAPI document. Everything is set as text, never as markup, so that nothing in the document can become a script.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options", "trace"];

/** An element with properties and children; a text child is text. */
function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Text in which backticks mark code. */
function prose(text) {
  const parts = text.split("`").map((part, index) => (index % 2 ? element("code", { textContent: part }) : part));
  return element("span", {}, ...parts);
}

function nameOf(reference) {
  return reference.split("/").pop();
}

/** A schema in a few words, with links to the schemas that it names. */
function typeOf(schema) {
  const span = element("span");
  if (!schema || schema === true) {
    span.append("any");
  } else if (schema.$ref) {
    const name = nameOf(schema.$ref);
    span.append(element("a", { href: `#schema-${name}`, textContent: name }));
  } else if (schema.oneOf || schema.anyOf || schema.allOf) {
    const parts = schema.oneOf ?? schema.anyOf ?? schema.allOf;
    parts.forEach((part, index) => span.append(index ? " | " : "", typeOf(part)));
  } else if (schema.enum) {
    span.append(schema.enum.map((value) => JSON.stringify(value)).join(" | "));
  } else if (schema.const !== undefined) {
    span.append(JSON.stringify(schema.const));
  } else if (schema.type === "array") {
    span.append("array of ", typeOf(schema.items));
  } else {
    const type = [schema.type ?? "any"].flat().join(" | ");
    span.append(schema.format ? `${type} (${schema.format})` : type);
  }
  return span;
}

/** What a schema says besides its type. */
function notesOf(schema) {
  const notes = [];
  if (schema?.description) notes.push(schema.description);
  if (schema?.minimum !== undefined || schema?.maximum !== undefined) notes.push(`${schema.minimum ?? "…"} to ${schema.maximum ?? "…"}`);
  if (schema?.minLength !== undefined || schema?.maxLength !== undefined) notes.push(`${schema.minLength ?? 0} to ${schema.maxLength ?? "…"} characters`);
  if (schema?.default !== undefined) notes.push(`default ${JSON.stringify(schema.default)}`);
  return notes.map((note) => note.replace(/\.$/, "")).join("; ");
}

function table(caption, headings, rows) {
  const head = element("tr", {}, ...headings.map((text) => element("th", { scope: "col", textContent: text })));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell))));
  const node = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  node.setAttribute("aria-label", caption);
  return element("div", { className: "scroll" }, node);
}

function needed(name, required) {
  return required ? element("span", {}, name, element("span", { className: "needed", textContent: " *", title: "required" })) : name;
}

function propertiesOf(schema) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {});
  if (rows.length === 0) return typeOf(schema);
  return table("Fields", ["Field", "Type", "Meaning"], rows.map(([name, field]) => [needed(name, required.has(name)), typeOf(field), prose(notesOf(field))]));
}

function contentOf(content) {
  return Object.entries(content ?? {}).map(([type, { schema }]) => element("p", {}, `${type}: `, typeOf(schema)));
}

/** A made-up value of a schema, for the example. */
function exampleOf(schema, schemas, depth = 0) {
  if (!schema || depth > 5) return null;
  if (schema.$ref) return exampleOf(schemas[nameOf(schema.$ref)], schemas, depth + 1);
  if (schema.examples?.length) return schema.examples[0];
  const choice = (schema.oneOf ?? schema.anyOf)?.find((part) => part.type !== "null");
  if (choice) return exampleOf(choice, schemas, depth + 1);
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  if (schema.properties) {
    return Object.fromEntries(Object.entries(schema.properties).map(([name, field]) => [name, exampleOf(field, schemas, depth + 1)]));
  }
  const type = [schema.type].flat()[0];
  if (type === "array") return [exampleOf(schema.items, schemas, depth + 1)];
  if (type === "string") return schema.format === "uuid" ? "00000000-0000-0000-0000-000000000000" : "text";
  if (type === "integer" || type === "number") return schema.minimum ?? 0;
  return type === "boolean" ? true : {};
}

function exampleCall(method, path, operation, schemas) {
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}'${location.origin}${path}'`];
  if (operation.security?.length) lines.push('-H "authorization: Bearer $TOKEN"');
  if (schema) {
    const body = JSON.stringify(exampleOf(schema, schemas)).replaceAll("'", "'\\''");
    lines.push("-H 'content-type: application/json'", `-d '${body}'`);
  }
  return element("pre", { textContent: lines.join(" \\\n  "), tabIndex: 0 });
}

function drawOperation({ id, method, path, operation }, schemas) {
  const body = element("div", { className: "body" });
  if (operation.description) body.append(element("p", {}, prose(operation.description)));
  if (operation.security?.length) body.append(element("p", {}, "Needs a ", element("a", { href: "#token", textContent: "token" }), "."));
  const parameters = operation.parameters ?? [];
  if (parameters.length) {
    const rows = parameters.map((parameter) => [
      needed(`${parameter.name} (${parameter.in})`, parameter.required),
      typeOf(parameter.schema),
      prose([parameter.description, notesOf(parameter.schema)].filter(Boolean).join("; ")),
    ]);
    body.append(element("h3", { textContent: "Parameters" }), table("Parameters", ["Name", "Type", "Meaning"], rows));
  }
  if (operation.requestBody) {
    body.append(element("h3", { textContent: "Body" }), ...contentOf(operation.requestBody.content));
    const schema = operation.requestBody.content?.["application/json"]?.schema;
    if (schema?.$ref) body.append(propertiesOf(schemas[nameOf(schema.$ref)] ?? {}));
  }
  const answers = Object.entries(operation.responses ?? {}).map(([status, answer]) => {
    const content = Object.values(answer.content ?? {})[0];
    return [status, content ? typeOf(content.schema) : "", answer.description ?? ""];
  });
  body.append(element("h3", { textContent: "Answers" }), table("Answers", ["Status", "Body", "Meaning"], answers));
  body.append(element("h3", { textContent: "Example" }), exampleCall(method, path, operation, schemas));
  const summary = element(
    "summary",
    {},
    element("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
    element("span", { className: "path", textContent: path }),
    element("span", { className: "quiet", textContent: operation.summary ?? "" }),
  );
  return element("details", { id }, summary, body);
}

function drawSchema([name, schema]) {
  const summary = element("summary", {}, element("span", { className: "path", textContent: name }));
  const description = schema.description ? element("p", {}, prose(schema.description)) : null;
  return element("details", { id: `schema-${name}` }, summary, element("div", { className: "body" }, description, propertiesOf(schema)));
}

function drawScheme([name, scheme]) {
  const summary = element("summary", {}, element("span", { className: "path", textContent: `${scheme.scheme} ${scheme.bearerFormat ?? ""}` }));
  const header = element("pre", { textContent: "authorization: Bearer $TOKEN", tabIndex: 0 });
  const body = element("div", { className: "body" }, element("p", {}, prose(scheme.description ?? "")), header);
  return element("details", { id: name === "bearer" ? "token" : `scheme-${name}` }, summary, body);
}

function operationsOf(api) {
  const found = [];
  for (const [path, item] of Object.entries(api.paths ?? {})) {
    for (const method of METHODS.filter((method) => item[method])) {
      const operation = item[method];
      found.push({ id: `${method}-${path}`, method, path, operation, tag: operation.tags?.[0] ?? "other" });
    }
  }
  return found;
}

function draw(api) {
  const schemas = api.components?.schemas ?? {};
  const operations = operationsOf(api);
  const main = document.getElementById("routes");
  const index = document.getElementById("index");
  document.title = document.getElementById("title").textContent = api.info.title;
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("description").textContent = api.info.description ?? "";
  const known = (api.tags ?? []).map((tag) => tag.name);
  for (const name of new Set([...known, ...operations.map((operation) => operation.tag)])) {
    const members = operations.filter((operation) => operation.tag === name);
    if (members.length === 0) continue;
    const description = api.tags?.find((tag) => tag.name === name)?.description ?? "";
    const heading = element("h2", { textContent: name });
    main.append(element("section", {}, heading, element("p", { className: "quiet", textContent: description }), ...members.map((member) => drawOperation(member, schemas))));
    const links = members.map(({ id, method, path }) =>
      element("li", {}, element("a", { href: `#${id}` }, element("span", { className: `method ${method}`, textContent: method.toUpperCase() }), path)),
    );
    index.append(element("div", {}, element("strong", { textContent: name }), element("ul", {}, ...links)));
  }
  const schemes = Object.entries(api.components?.securitySchemes ?? {}).map(drawScheme);
  main.append(element("section", {}, element("h2", { textContent: "token" }), ...schemes));
  const drawn = Object.entries(schemas).map(drawSchema);
  main.append(element("section", {}, element("h2", { textContent: "Schemas" }), ...drawn));
  document.getElementById("status").hidden = true;
}

/** Opens what the address points at. */
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

/** Hides routes and links without the text. */
function filter(text) {
  const wanted = text.trim().toLowerCase();
  const matches = (node) => node.textContent.toLowerCase().includes(wanted);
  for (const route of document.querySelectorAll("main details")) route.hidden = !matches(route.querySelector("summary"));
  for (const section of document.querySelectorAll("main section")) section.hidden = !section.querySelector("details:not([hidden])");
  for (const link of document.querySelectorAll("#index li")) link.hidden = !matches(link);
  for (const group of document.querySelectorAll("#index > div")) group.hidden = !group.querySelector("li:not([hidden])");
}

async function start() {
  const status = document.getElementById("status");
  try {
    const response = await fetch("/openapi.json");
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    draw(await response.json());
    openTarget();
  } catch (error) {
    status.classList.add("failed");
    status.textContent = `The document could not be drawn: ${error.message}. Reload the page to try again.`;
  }
}

window.addEventListener("hashchange", openTarget);
document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value));
start();
