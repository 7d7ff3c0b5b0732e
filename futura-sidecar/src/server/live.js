// Brings the page up to date: one card after a run, and all of it when a state has changed.
const main = document.querySelector("main");
const live = document.getElementById("live");
const PAUSE_MS = 2000;
const RETRY_MS = 5000;
const FOCUSABLE = "a, button, [tabindex]";
let renewing = false;
let again = false;

function tell(text) {
  if (live.textContent !== text) live.textContent = text;
}

// What has the focus keeps it, and what was scrolled stays so, be they other elements by then.
function replace(element, html) {
  const focused = [...element.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  const scrolled = element.querySelector(".scroll")?.scrollTop;
  element.innerHTML = html;
  if (focused >= 0) element.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
  if (scrolled) element.querySelector(".scroll").scrollTop = scrolled;
}

async function renew() {
  if (renewing) {
    again = true;
    return;
  }
  [renewing, again] = [true, false];
  const start = performance.now();
  try {
    const answer = await fetch(`${location.pathname}?fragment=true`);
    if (answer.ok) {
      replace(main, await answer.text());
      const title = main.querySelector("[data-title]")?.dataset.title;
      if (title) document.title = `${title} · Futura sidecar`;
    } else if (answer.status === 404) {
      tell("This check is gone");
    }
  } catch {
    // The stream tells that the sidecar is away.
  }
  // A page that takes long to draw is drawn less often.
  setTimeout(() => {
    renewing = false;
    if (again) renew();
  }, Math.max(PAUSE_MS, 5 * (performance.now() - start)));
}

let events;

function listen() {
  events = new EventSource(main.dataset.events);
  events.addEventListener("open", () => {
    tell("Live");
    // What happened while there was no stream, and since the page was made, is not told again.
    renew();
  });
  events.addEventListener("error", () => {
    tell("The sidecar does not answer; trying again");
    // The browser tries again itself, unless it was answered with something else than a stream.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
  });
  events.addEventListener("page", renew);
  events.addEventListener("card", (event) => {
    const { name, html } = JSON.parse(event.data);
    const card = document.getElementById(`check-${name}`);
    if (card) replace(card, html);
    else renew();
  });
}

listen();
addEventListener("pagehide", () => events.close());
