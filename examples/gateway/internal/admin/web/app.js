// The page asks the API for everything that it shows, at an interval while it is seen.
// What comes from users and peers goes into text, never into markup.
"use strict";

const pageSize = 50;

// In milliseconds: from one look to the next, and how long an answer may take.
const times = { refresh: 3000, answer: 15000 };

const $ = id => document.getElementById(id);

// view is what the operator looks at. cursors are those of the pages up to this one.
const view = { search: "", sort: "user", cursors: [""], next: "", role: "none", draining: false };
let timer = 0, asked = 0;

async function ask(path, options = {}) {
  const signal = AbortSignal.timeout(times.answer);
  let answer, body;
  try {
    answer = await fetch(path, { credentials: "same-origin", cache: "no-store", signal, ...options });
    body = answer.status === 204 ? null : await answer.json();
  } catch {
    throw new Error("The gateway does not answer.");
  }
  if (answer.ok) return body;
  throw Object.assign(new Error(body.detail), { status: answer.status });
}

function post(path, body) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

function element(name, text, attributes = {}) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  return e;
}

function scaled(n, step, units) {
  let unit = 0;
  for (; n >= step && unit < units.length - 1; unit++) n /= step;
  return (unit === 0 || n >= 100 ? n.toFixed(0) : n.toPrecision(3)) + " " + units[unit];
}
const octets = n => scaled(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
const bitRate = n => scaled(n, 1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]);

function span(seconds) {
  const s = Math.floor(seconds), two = n => String(n).padStart(2, "0");
  if (s >= 86400) return `${Math.floor(s / 86400)}d${two(Math.floor(s % 86400 / 3600))}h`;
  if (s >= 3600) return `${Math.floor(s / 3600)}h${two(Math.floor(s % 3600 / 60))}m`;
  return s >= 60 ? `${Math.floor(s / 60)}m${two(s % 60)}s` : `${s}s`;
}

function complain(error) {
  $("problem").textContent = error ? error.message : "";
  $("problem").hidden = !error;
}

// confirmed asks in a dialog of its own. The event of its end comes a little after it is
// gone: by then the next may be open, whose answer is not this one's.
function confirmed(question, yes) {
  $("confirm")?.remove();
  document.body.append($("confirmation").content.cloneNode(true));
  $("question").textContent = question;
  $("yes").textContent = yes;
  const dialog = $("confirm");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise(done => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
}

async function act(question, yes, order) {
  if (!await confirmed(question, yes)) return;
  try {
    await order();
    complain(null);
  } catch (error) {
    complain(error);
    return;
  }
  refresh();
}

// Rows of sessions that stay are changed, not replaced: who is about to press a button of
// one presses it.
function newRow(id) {
  const tr = element("tr", undefined, { "data-id": id });
  for (const label of ["User", "From", "Address", "Up for", "Encryption", "Received", "Sent", "Rate in", "Rate out"]) {
    tr.append(element("td", undefined, { "data-label": label, class: /Rate|Received|Sent/.test(label) ? "number" : "" }));
  }
  const button = element("button", "Disconnect", { type: "button", class: "danger" });
  button.addEventListener("click", () => act(`Disconnect ${tr.session.user || "the session"} from ${tr.session.source}?`, "Disconnect",
    () => ask("api/v1/sessions/" + encodeURIComponent(id), { method: "DELETE" })));
  const last = element("td");
  last.append(button);
  tr.append(last);
  return tr;
}

function fill(tr, s) {
  tr.session = s;
  const texts = [
    s.user || "—", s.source, s.address || "—", span(s.uptime_seconds), s.encryption, octets(s.received_octets), octets(s.sent_octets),
    s.traffic ? bitRate(s.traffic.from_peer) : "—", s.traffic ? bitRate(s.traffic.to_peer) : "—",
  ];
  texts.forEach((text, i) => tr.cells[i].textContent = text);
  if (s.group) tr.cells[0].append(element("span", s.group, { class: "group" }));
  tr.cells[3].title = new Date(s.up_at).toLocaleString();
  const button = tr.querySelector("button");
  button.hidden = view.role !== "operate";
  button.setAttribute("aria-label", `Disconnect ${s.user}, ${s.address}`);
  return tr;
}

function showSessions(page) {
  const body = $("sessions").tBodies[0];
  const before = new Map([...body.rows].map(tr => [tr.dataset.id, tr]));
  const rows = page.sessions.map(s => fill(before.get(s.id) ?? newRow(s.id), s));
  if (rows.length !== body.rows.length || rows.some((tr, i) => tr !== body.rows[i])) {
    const focused = document.activeElement;
    body.replaceChildren(...rows);
    if (body.contains(focused)) focused.focus();
  }
  view.next = page.next || "";
  const first = (view.cursors.length - 1) * pageSize;
  $("range").textContent = rows.length ? `${first + 1} to ${first + rows.length} of ${page.total}` : "";
  $("previous").disabled = view.cursors.length === 1;
  $("next").disabled = !view.next;
  $("sessions").hidden = !page.sessions.length;
  $("empty").hidden = !!page.sessions.length;
  $("empty").textContent = view.search ? "No session matches." : "No session is up.";
  for (const button of document.querySelectorAll("[data-sort]")) {
    const th = button.closest("th");
    if (view.sort === button.dataset.sort) th.setAttribute("aria-sort", "ascending");
    else if (view.sort === "-" + button.dataset.sort) th.setAttribute("aria-sort", "descending");
    else th.removeAttribute("aria-sort");
  }
}

function showState(state, stats) {
  view.role = state.role;
  view.draining = state.draining;
  $("state").textContent = state.draining ? "Draining: newcomers are refused" : "Letting users in";
  $("state").classList.toggle("draining", state.draining);
  $("drain").hidden = state.role !== "operate";
  $("drain").textContent = state.draining ? "Let users in" : "Drain";
  const figures = [
    ["Sessions up", state.sessions],
    ["Being set up", stats.server.half_open],
    ["Up for", span(state.uptime_seconds)],
    ["Memory", stats.runtime.resident_bytes ? octets(stats.runtime.resident_bytes) : "—"],
    ["Data plane", stats.dataplane?.mode ?? "—"],
    ["Version", state.version],
  ];
  $("figures").replaceChildren(...figures.map(([name, value]) => {
    const div = element("div");
    div.append(element("dt", name), element("dd", String(value)));
    return div;
  }));
}

// Sections are other parts' own: lists of objects are tables, objects lists of values.
const words = name => name.replaceAll("_", " ");
const plain = value => value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "—");

function tableOf(list) {
  const nested = value => value !== null && typeof value === "object"; // such as histograms: the API has them
  const names = [...new Set(list.flatMap(Object.keys))].filter(name => !list.some(one => nested(one[name])));
  const numeric = name => list.every(one => typeof (one[name] ?? 0) === "number");
  const table = element("table"), head = element("tr"), body = element("tbody");
  for (const name of names) head.append(element("th", words(name), { scope: "col", class: numeric(name) ? "number" : "" }));
  for (const one of list) {
    const tr = element("tr");
    for (const name of names) {
      const td = element("td", plain(one[name]), { class: numeric(name) ? "number" : "" });
      if (name === "used" && one.size > 0) {
        td.prepend(element("meter", undefined, { max: one.size, value: one.used, high: .95 * one.size, low: .8 * one.size, optimum: 0, "aria-hidden": "true" }));
      }
      tr.append(td);
    }
    body.append(tr);
  }
  const thead = element("thead");
  thead.append(head);
  table.append(thead, body);
  return table;
}

function contentOf(value) {
  const isObject = v => v !== null && typeof v === "object" && !Array.isArray(v);
  if (Array.isArray(value)) {
    if (!value.length) return [element("p", "None.", { class: "hint" })];
    return [tableOf(value.map(v => isObject(v) ? v : { value: v }))];
  }
  if (!isObject(value)) return [element("p", plain(value))];
  const lists = Object.entries(value).filter(([, v]) => Array.isArray(v));
  const rest = Object.entries(value).filter(([, v]) => !Array.isArray(v));
  return [
    ...(rest.length ? [tableOf(rest.map(([name, v]) => ({ name: words(name), value: v })))] : []),
    ...lists.flatMap(([name, list]) => [element("h3", words(name)), ...contentOf(list)]),
  ];
}

function showSections(sections) {
  $("sections").replaceChildren(...Object.entries(sections).map(([name, value]) => {
    const section = element("section");
    section.append(element("h2", name === "radius" ? "RADIUS" : words(name[0].toUpperCase() + name.slice(1))), ...contentOf(value));
    return section;
  }));
}

async function refresh() {
  clearTimeout(timer);
  const turn = ++asked;
  const query = new URLSearchParams({ sort: view.sort, limit: pageSize, rates: "true", cursor: view.cursors.at(-1) });
  if (view.search) query.set("search", view.search);
  try {
    const [state, page, stats, sections] = await Promise.all(
      ["state", "sessions?" + query, "stats", "sections"].map(path => ask("api/v1/" + path)));
    if (turn !== asked) return; // something else has been asked for meanwhile
    if (!page.sessions.length && view.cursors.length > 1) { // the page is gone
      view.cursors.pop();
      return refresh();
    }
    showState(state, stats);
    showSessions(page);
    showSections(sections);
    show(true);
    complain(null);
  } catch (error) {
    if (turn !== asked) return;
    if (error.status === 401) return show(false);
    complain(error);
  }
  timer = setTimeout(() => document.hidden ? 0 : refresh(), times.refresh);
}

function show(loggedIn) {
  $("main").hidden = $("actions").hidden = !loggedIn;
  $("login").hidden = loggedIn;
  if (!loggedIn) {
    $("state").textContent = "";
    $("token").focus();
  }
}

function from(sort, search) {
  Object.assign(view, { sort, search, cursors: [""] });
  refresh();
}

$("login").addEventListener("submit", async event => {
  event.preventDefault();
  try {
    await post("login", { token: $("token").value });
    $("token").value = "";
    complain(null);
    refresh();
  } catch (error) {
    complain(error);
  }
});
$("logout").addEventListener("click", async () => {
  await post("logout", {}).catch(() => 0); // there is none on a private address
  view.cursors = [""];
  refresh();
});
$("drain").addEventListener("click", () => view.draining
  ? act("Let users in again?", "Let users in", () => post("api/v1/undrain", {}))
  : act("Refuse newcomers? Sessions that are up go on.", "Drain", () => post("api/v1/drain", {})));
$("search").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => from(view.sort, $("search").value.trim()), 250);
});
$("previous").addEventListener("click", () => { view.cursors.pop(); refresh(); });
$("next").addEventListener("click", () => { view.cursors.push(view.next); refresh(); });
for (const button of document.querySelectorAll("[data-sort]")) {
  const key = button.dataset.sort;
  const [first, second] = key.startsWith("rate") ? ["-" + key, key] : [key, "-" + key]; // the most first
  button.addEventListener("click", () => from(view.sort === first ? second : first, view.search));
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
