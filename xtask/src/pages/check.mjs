// Uses the sidecar's pages as people do, in Chromium: by sight, keyboard and screen reader, on a desk and on a phone.
//
//   node check.mjs PAGE_URL TARGET_PORT ERRORS_PORT PICTURES CHROMIUM
//
// It is the checks' target as well, and so decides how they go.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [url, port, errorsPort, pictures, executablePath] = process.argv.slice(2);
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const LIMIT_MS = 15_000;
const PHONE = { width: 360, height: 780 };

let healthy = true;
const target = createServer((request, response) => {
  const login = request.url === "/login";
  response.writeHead(healthy || login ? 200 : 500, { "content-type": "application/json" });
  response.end(JSON.stringify(login ? { token: "t" } : { status: "ok" }));
});
await new Promise((resolve, reject) => target.on("error", reject).listen(Number(port), "127.0.0.1", resolve));

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

async function open(options, path = "/") {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(`error: ${error}`));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.problems.push(message.text()));
  page.on("request", (request) => {
    const from = new URL(request.url());
    if (from.protocol !== "data:" && from.origin !== new URL(url).origin) page.problems.push(`asked ${from}`);
  });
  await page.goto(url + path);
  return page;
}

async function close(page) {
  assert.deepEqual(page.problems, []);
  await page.context().close();
}

async function accessible(page, what) {
  // The page's policy lets no script in; the driver may evaluate it all the same.
  const { readFileSync } = await import("node:fs");
  await page.evaluate(readFileSync(axe, "utf8"));
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  assert.deepEqual(told, [], `${what} has barriers`);
  assert.ok(passes.length > 10, `${what} was looked at`);
}

const card = (page, name) => page.locator(`#check-${name}`);
const state = (page, name, text) => card(page, name).locator(".state", { hasText: text }).waitFor();

const steps = {
  async "every check is told of, and what is down comes first"() {
    const page = await open({ viewport: { width: 1280, height: 900 } });
    await state(page, "shop", "up");
    await state(page, "purchase", "up");
    await state(page, "closed", "down");
    await state(page, "waiting", "pending");
    await state(page, "announced", "maintenance");
    await page.reload();
    assert.equal(await page.locator("h3").first().textContent(), "closed");
    assert.match(await page.title(), /1 of 5 checks down/);
    assert.match(await card(page, "closed").textContent(), /Last failure.*connect/s);
    assert.match(await card(page, "shop").textContent(), /Uptime\s*[\d.]+ % in 24 h/);
    assert.equal(await card(page, "purchase").locator("ol li").count(), 2);
    await page.screenshot({ path: `${pictures}/light.png`, fullPage: true });
    await close(page);
  },

  async "an open page is brought up to date without being loaded again"() {
    const page = await open();
    await page.evaluate(() => (globalThis.marker = true));
    await page.locator("#live", { hasText: "Live" }).waitFor();
    const runs = () => card(page, "shop").locator("dd time").first().getAttribute("datetime");
    const before = await runs();
    await page.waitForFunction(
      (before) => document.querySelector("#check-shop dd time").getAttribute("datetime") !== before,
      before,
    );
    healthy = false;
    await state(page, "shop", "down");
    assert.match(await page.locator(".verdict").textContent(), /3 of 5 checks down/);
    assert.match(await card(page, "shop").textContent(), /status/);
    assert.match(await page.title(), /3 of 5 checks down/);
    await page.screenshot({ path: `${pictures}/down.png`, fullPage: true });
    healthy = true;
    await state(page, "shop", "up");
    assert.equal(await page.evaluate(() => globalThis.marker), true);
    await close(page);
  },

  async "an open page that is turned away tries again"() {
    const page = await open();
    let turnedAway = 0;
    await page.route("**/events*", (route) => (turnedAway++ ? route.continue() : route.fulfill({ status: 503 })));
    await page.reload();
    await page.locator("#live", { hasText: "trying again" }).waitFor();
    await page.locator("#live", { hasText: "Live" }).waitFor();
    assert.equal(turnedAway, 2);
    assert.match(page.problems.splice(0).join(), /^[^,]*503[^,]*$/);
    await close(page);
  },

  async "the keyboard is enough"() {
    const page = await open();
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
    for (let presses = 0; (await page.evaluate(() => document.activeElement.textContent)) !== "shop"; presses++) {
      assert.ok(presses < 20, "the link of the check is not reached");
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await page.waitForURL(`${url}/checks/shop`);
    const button = (name) => page.getByRole("button", { name, exact: true });
    await button("Pause").focus();
    // The page changes under the reader at each run, and what has the focus keeps it.
    await page.waitForTimeout(1500);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Pause");
    await page.keyboard.press("Enter");
    await page.locator(".state", { hasText: "paused" }).waitFor();
    await button("Resume").focus();
    await page.keyboard.press("Enter");
    await page.locator(".state", { hasText: "up" }).waitFor();
    await page.screenshot({ path: `${pictures}/check.png`, fullPage: true });
    await close(page);
  },

  async "errors are shown as they come"() {
    const page = await open({ viewport: { width: 1280, height: 900 } }, "/errors");
    await page.locator("#live", { hasText: "Live" }).waitFor();
    await page.getByText("None was accepted since the start.").waitFor();
    const send = async (event) => {
      const answer = await fetch(`http://127.0.0.1:${errorsPort}/api/7/store/`, { method: "POST", body: JSON.stringify(event) });
      assert.equal(answer.status, 200);
    };
    await send({ exception: { values: [{ type: "PaymentDeclined", value: "card 4111 1111 1111 1111 of jane@example.org" }] } });
    const row = page.locator("tbody tr", { hasText: "PaymentDeclined" });
    await row.waitFor();
    assert.doesNotMatch(await row.textContent(), /4111|jane/);
    await page.waitForTimeout(200);
    await send({ level: "warning", message: "seat 12 was sold twice" });
    await page.locator("tbody tr", { hasText: "seat 12 was sold twice" }).waitFor();
    assert.match(await page.locator("article", { hasText: "own-bugsink" }).textContent(), /2 of 10000 envelopes/);
    await page.screenshot({ path: `${pictures}/errors.png`, fullPage: true });
    await close(page);
  },

  async "nothing is a barrier, in light and in dark"() {
    for (const colorScheme of ["light", "dark"]) {
      for (const path of ["/", "/errors", "/checks/shop", "/checks/closed", "/checks/purchase", "/checks/waiting"]) {
        const page = await open({ colorScheme }, path);
        await accessible(page, `${path} in ${colorScheme}`);
        if (colorScheme === "dark" && path === "/") await page.screenshot({ path: `${pictures}/dark.png`, fullPage: true });
        await close(page);
      }
    }
  },

  async "a phone shows all of it without being moved sideways"() {
    for (const path of ["/", "/errors", "/checks/closed", "/checks/purchase"]) {
      const page = await open({ viewport: PHONE, isMobile: true }, path);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= PHONE.width, `${path} is ${width} wide`);
      await page.screenshot({ path: `${pictures}/phone${path.replaceAll("/", "-")}.png`, fullPage: true });
      await close(page);
    }
  },

  async "without scripts the page is whole and renews itself"() {
    const page = await open({ javaScriptEnabled: false });
    await state(page, "closed", "down");
    assert.equal(await page.locator("meta[http-equiv=refresh]").count(), 1);
    await close(page);
  },
};

let failed = false;
for (const [name, step] of Object.entries(steps)) {
  try {
    await step();
    console.log(`  ok ${name}`);
  } catch (error) {
    console.log(`  not so: ${name}\n${error.stack}`);
    failed = true;
    break;
  }
}
await browser.close();
target.close();
target.closeAllConnections();
process.exitCode = failed ? 1 : 0;
