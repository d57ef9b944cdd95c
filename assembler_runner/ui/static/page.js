// On every page of a visitor: live updates, relative times, copy buttons, shortcuts. Pages work without it.

const root = document.documentElement;

// Reads a page of this origin as a document. No text becomes markup in this page, as Trusted Types demand.
export function readPage(url, method = "GET", body = null) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open(method, url);
    call.responseType = "document";
    call.setRequestHeader("Accept", "text/html");
    call.onload = () => resolve({ status: call.status, url: call.responseURL, page: call.response });
    call.onerror = () => reject(new Error("offline"));
    call.send(body);
  });
}

// Puts a part of another document into the place of one here, and keeps the focus.
export function replacePart(old, fresh) {
  const next = document.importNode(fresh, true);
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const path = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.getAttribute("href") ? `a[href="${CSS.escape(focused.getAttribute("href"))}"]` : null);
  for (const open of old.querySelectorAll("details[open][id]")) next.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
  old.replaceWith(next);
  if (path) next.querySelector(path)?.focus();
  tellTimes(next);
  return next;
}

function isBusy(part) {
  const focused = document.activeElement;
  const typing = part.contains(focused) && focused.matches("input, textarea, select, [contenteditable]");
  return typing || part.querySelector(":checked:not(option), dialog[open]") !== null;
}

// --- Live: one stream of events for all tabs of this browser ---------------------------------------------------------

let waiting = null;

function eventCame(event) {
  document.dispatchEvent(new CustomEvent("space-event", { detail: event }));
  const about = root.querySelector("[data-space]")?.dataset.space;
  if (about && about !== event.space_id) return;
  if (!waiting) waiting = setTimeout(() => { waiting = null; refresh(); }, 250);
}

async function refresh() {
  const parts = [...document.querySelectorAll("[data-live][id], live-table tr[id]")];
  if (!parts.length) return;
  if (document.hidden) {
    document.addEventListener("visibilitychange", refresh, { once: true });
    return;
  }
  let answer;
  try { answer = await readPage(location.href); } catch { return; }
  if (answer.status !== 200 || !answer.page) return;
  if (new URL(answer.url).pathname !== location.pathname) { location.reload(); return; }
  for (const part of parts) {
    const fresh = answer.page.getElementById(part.id);
    if (fresh && !isBusy(part) && plain(fresh) !== plain(part)) replacePart(part, fresh);
  }
  document.querySelector("live-table")?.announce?.(answer.page);
}

// What differs only by the time that has passed is equal.
function plain(part) {
  const copy = part.cloneNode(true);
  for (const time of copy.querySelectorAll("time")) time.textContent = "";
  return copy.outerHTML;
}

function listen(url, after) {
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("assembler-events") : null;
  if (channel) channel.onmessage = (message) => eventCame(message.data);
  let last = after;
  const open = () => new Promise(() => {
    const source = new EventSource(`${url}?after=${last}`);
    const pass = (message) => {
      last = message.lastEventId;
      const event = JSON.parse(message.data);
      eventCame(event);
      channel?.postMessage(event);
    };
    source.addEventListener("message", pass);
    // After a sleep of the machine or a restart of the service the page may have missed something.
    source.addEventListener("error", () => source.addEventListener("open", refresh, { once: true }), { once: true });
    addEventListener("pagehide", () => source.close());
  });
  // Only one tab holds the stream: a browser opens six connections to a host.
  if (navigator.locks && channel) navigator.locks.request("assembler-events", open);
  else open();
}

// --- Lists: rows change in place; new ones are announced -------------------------------------------------------------

class LiveTable extends HTMLElement {
  announce(page) {
    const known = new Set([...this.querySelectorAll("tr[id]")].map((row) => row.id));
    const fresh = [...page.querySelectorAll("live-table tr[id]")].filter((row) => !known.has(row.id)).length;
    this.querySelector(".news")?.remove();
    if (!fresh || new URLSearchParams(location.search).has("after")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "news";
    button.setAttribute("role", "status");
    button.textContent = this.dataset.new.replace("{n}", fresh);
    button.addEventListener("click", () => location.reload());
    this.prepend(button);
  }
}
customElements.define("live-table", LiveTable);

// --- Copying ---------------------------------------------------------------------------------------------------------

class CopyText extends HTMLElement {
  connectedCallback() {
    const button = this.querySelector("button");
    if (!button || !navigator.clipboard) return;
    button.hidden = false;
    const word = button.textContent;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(this.querySelector("code").textContent);
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = word; }, 2000);
    });
  }
}
customElements.define("copy-text", CopyText);

// --- Times -----------------------------------------------------------------------------------------------------------

const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat(root.lang || "en", { numeric: "auto" });

export function tellTimes(part = document) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const seconds = (new Date(time.dateTime) - Date.now()) / 1000;
    if (Number.isNaN(seconds) || Math.abs(seconds) > 30 * 86400) continue;
    const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) || ["second", 1];
    time.textContent = relative.format(Math.trunc(seconds / size), unit);
  }
}

// --- Shortcuts -------------------------------------------------------------------------------------------------------

let before = "";

function shortcut(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select, [contenteditable], dialog")) return;
  const places = { s: "/ui/spaces", q: "/ui/queue", p: "/ui/plugins", a: "/ui/accounts" };
  const chosen = before === "g" ? places[event.key] : null;
  before = event.key;
  if (chosen) { location.href = chosen; return; }
  if (event.key === "?") { document.getElementById("shortcuts")?.showModal(); return; }
  if (event.key === "n" && !document.querySelector('[data-key="n"]')) { location.href = "/ui/new"; return; }
  const element = event.key.length === 1 && document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!element) return;
  event.preventDefault();
  if (element.matches("input, textarea, select")) element.focus(); else element.click();
}

document.addEventListener("keydown", shortcut);
tellTimes();
setInterval(tellTimes, 30000);
if (document.body.dataset.events) listen(document.body.dataset.events, document.body.dataset.after);
