// Asks the server and shows what it says. Titles and tokens are strangers' text: they become text nodes, never markup.

import { WORDS } from "./words.js";

const SHOWN_NAMES = 12;
const SHOWN_OWNED = 12; // of a history, before it is asked for whole
const MOST_OWNED = 1000; // that the server gives
const WAIT = 150; // milliseconds after the last letter
const COLOURS = 8;
const LEAST = 0.005; // a part below it would be shown as 0.00
const at = (id) => document.getElementById(id);
const KINDS = {
  user: { kind: "user", heading: "for_user" },
  items: { kind: "item", heading: "for_somebody" },
  similar: { kind: "item", heading: "like" },
};
const LANGUAGE = language();

let parts = [];
let picked = []; // {token, title}
let asked = 0; // answers to older questions come too late
let offered = 0;

class Refused extends Error {} // by the server, whose sentences are English

// The reader's language: the address names it, or else the browser, and English is for all others.

function language() {
  const wanted = [new URLSearchParams(location.search).get("language"), ...navigator.languages];
  return wanted.map((each) => String(each).toLowerCase().split("-")[0]).find((each) => Object.hasOwn(WORDS, each)) || "en";
}

function say(key, filled = {}) {
  return WORDS[LANGUAGE][key].replace(/\{(\w+)\}/g, (_, name) => filled[name]);
}

function translate() {
  document.documentElement.lang = LANGUAGE;
  for (const each of document.querySelectorAll("[data-text]")) each.textContent = say(each.dataset.text);
  for (const each of document.querySelectorAll("[data-label]")) each.setAttribute("aria-label", say(each.dataset.label));
  linkLanguages();
}

function linkLanguages() {
  for (const link of document.querySelectorAll("[hreflang]")) {
    link.href = `?language=${link.hreflang}${location.hash}`;
    if (link.hreflang === LANGUAGE) link.setAttribute("aria-current", "true");
  }
}

const partName = (name) => WORDS[LANGUAGE][`part_${name}`] || name;
const count = (number) => number.toLocaleString(LANGUAGE);

function decimals(value, digits) {
  const places = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  const text = Math.abs(value).toLocaleString(LANGUAGE, places);
  return value < 0 && /[1-9]/.test(text) ? `\u2212${text}` : text;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

async function ask(path, body) {
  const sent = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, sent);
  const said = await answer.json();
  if (!answer.ok) throw said.error ? new Refused(said.error) : new Error(say("status", { status: answer.status }));
  return said;
}

const mode = () => document.querySelector("input[name=mode]:checked").value;
const shown = (name) => name.title || name.token;
const signed = (value) => decimals(value, 2);

function refuse(error) {
  const sentence = error instanceof TypeError ? say("silent") : error.message;
  at("refused").textContent = error instanceof Refused ? say("server_says", { said: sentence }) : sentence;
  at("refused").hidden = false;
  clear();
}

function clear() {
  for (const id of ["list", "parts", "history"]) at(id).replaceChildren();
  for (const id of ["owned", "scale"]) at(id).hidden = true;
  at("heading").textContent = "";
}

// Names that are offered while somebody types.

async function offer() {
  const mine = ++offered;
  const { kind } = KINDS[mode()];
  const names = await ask(`names?kind=${kind}&text=${encodeURIComponent(at("text").value)}`);
  if (mine !== offered) return;
  at("names").replaceChildren(...names.slice(0, SHOWN_NAMES).map(nameButton));
}

function nameButton(name) {
  const button = element("button", "", name.title ? `${name.title} · ${name.token}` : name.token);
  button.type = "button";
  button.addEventListener("click", () => pick(name));
  const entry = element("li");
  entry.append(button);
  return entry;
}

function pick(name) {
  const others = mode() === "items" ? picked.filter((each) => each.token !== name.token) : [];
  picked = [...others, name];
  at("text").value = "";
  if (document.activeElement) document.activeElement.blur();
  note();
}

function note() {
  location.hash = new URLSearchParams(picked.map((name) => [mode(), name.token])).toString();
}

function showPicked() {
  const chips = mode() === "items" ? picked : [];
  at("picked").replaceChildren(
    ...chips.map((name) => {
      const button = element("button", "", `${shown(name)} ×`);
      button.type = "button";
      button.setAttribute("aria-label", say("without", { name: shown(name) }));
      button.addEventListener("click", () => {
        picked = picked.filter((each) => each.token !== name.token);
        note();
      });
      const entry = element("li");
      entry.append(button);
      return entry;
    }),
  );
}

// Lists.

function question() {
  const k = Number(at("k").value);
  if (mode() === "similar") return ["similar", { item: picked[0].token, k }];
  const whom = mode() === "user" ? { user: picked[0].token } : { items: picked.map((name) => name.token) };
  const seen = at("kept").checked ? "kept" : "masked";
  return ["recommend", { ...whom, k, seen, explain: parts.length > 0 }];
}

const heading = () => say(KINDS[mode()].heading, { names: picked.map(shown).join(", ") });

async function show() {
  const mine = ++asked;
  showPicked();
  linkLanguages();
  if (!picked.length) {
    clear();
    return;
  }
  try {
    const [found, owned] = await Promise.all([ask(...question()), history(SHOWN_OWNED)]);
    if (mine !== asked) return;
    at("refused").hidden = true;
    at("heading").textContent = heading();
    showHistory(owned);
    const told = parts.filter((name) => found.items.some((item) => item.parts && isTold(item.parts[name])));
    at("parts").replaceChildren(...told.map(legend));
    const pictures = found.items.some((item) => item.poster);
    const scale = scaleOf(found.items);
    showScale(scale);
    at("list").replaceChildren(...found.items.map((item, place) => card(item, place + 1, pictures, scale)));
  } catch (error) {
    if (mine === asked) refuse(error);
  }
}

// What the user has.

async function history(k) {
  return mode() === "user" ? ask(`history?user=${encodeURIComponent(picked[0].token)}&k=${k}`) : null;
}

function showHistory(owned) {
  at("owned").hidden = !owned;
  if (!owned) return;
  at("owned-heading").textContent = say("has", { name: shown(picked[0]), count: count(owned.count) });
  const pictures = owned.items.some((item) => item.poster);
  at("history").replaceChildren(...owned.items.map((item) => ownedItem(item, pictures)));
  at("whole").hidden = owned.items.length >= Math.min(owned.count, MOST_OWNED);
  at("whole").textContent = say("show_all", { count: count(Math.min(owned.count, MOST_OWNED)) });
  noteOwned(owned);
}

function noteOwned(owned) {
  const cut = owned.items.length < owned.count && at("whole").hidden;
  const said = { shown: count(owned.items.length), count: count(owned.count) };
  at("owned-note").hidden = owned.count > 0 && !cut;
  if (!owned.held) at("owned-note").textContent = say("no_histories");
  else at("owned-note").textContent = cut ? say("first_of", said) : say("no_history");
}

function ownedItem(item, pictures) {
  const title = item.title || item.item;
  const entry = element("li");
  if (pictures) entry.append(poster(item, title));
  const name = element("span", "name", title);
  if (item.part !== "train") name.append(" ", element("span", "held-out", say(item.part)));
  entry.append(name);
  return entry;
}

async function showWhole() {
  const mine = asked;
  const owned = await history(MOST_OWNED);
  if (mine === asked) showHistory(owned);
}

// One scale for the bars of all items: from what speaks most against one to what speaks most for one.

const sum = (values) => values.reduce((all, value) => all + value, 0);

function scaleOf(items) {
  const each = items.map((item) => Object.values(item.parts || {}));
  const low = Math.min(0, ...each.map((values) => sum(values.filter((value) => value < 0))));
  const high = Math.max(0, ...each.map((values) => sum(values.filter((value) => value > 0))));
  return { low, high, place: (value) => (100 * (value - low)) / Math.max(high - low, 1e-9) };
}

function showScale({ low, high }) {
  at("scale").hidden = low === high;
  at("scale").textContent = say("scale", { low: signed(low), high: signed(high) });
}

function colour(name) {
  const made = element("span", "colour");
  made.style.background = `var(--part-${parts.indexOf(name) % COLOURS})`;
  return made;
}

const isTold = (value) => Math.abs(value) >= LEAST;

function legend(name) {
  const entry = element("li");
  entry.append(colour(name), partName(name));
  return entry;
}

function card(item, place, pictures, scale) {
  const about = element("div", "about");
  const title = item.title || item.item;
  about.append(element("div", "title", `${place}. ${title}`));
  const token = item.title ? `${item.item} · ` : "";
  const word = mode() === "similar" ? "likeness" : "score";
  about.append(element("div", "score", `${token}${say(word, { score: decimals(item.score, 3) })}`));
  if (item.parts) about.append(bar(item, scale), numbers(item));
  if (item.contributions && item.contributions.length) about.append(because(item));
  const entry = element("li");
  if (pictures) entry.append(poster(item, title));
  entry.append(about);
  return entry;
}

function poster(item, title) {
  if (!item.poster) {
    const blank = element("div", "poster", [...title][0]);
    blank.setAttribute("aria-hidden", "true");
    return blank;
  }
  const image = element("img", "poster");
  image.src = item.poster;
  image.alt = "";
  image.loading = "lazy";
  return image;
}

// A part is as wide as it is large; parts for the item lie one after another to the right of the line at 0, those against
// it to the left.
function bar(item, { place }) {
  const made = element("div", "bar");
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", say("bar", { score: decimals(item.score, 3) }));
  const ends = { true: 0, false: 0 };
  for (const [name, value] of Object.entries(item.parts)) {
    const start = ends[value < 0];
    ends[value < 0] += value;
    made.append(piece(name, value, place(Math.min(start, start + value)), place(Math.max(start, start + value))));
  }
  made.append(mark("zero", place(0)), mark("sum", place(sum(Object.values(item.parts)))));
  return made;
}

function piece(name, value, left, right) {
  const made = element("span", "part");
  made.style.left = `${left}%`;
  made.style.width = `${right - left}%`;
  made.style.background = `var(--part-${parts.indexOf(name) % COLOURS})`;
  made.title = `${partName(name)} ${signed(value)}`;
  return made;
}

function mark(className, left) {
  const made = element("i", className);
  made.style.left = `${left}%`;
  return made;
}

function numbers(item) {
  const made = element("div", "numbers");
  for (const [name, value] of Object.entries(item.parts).filter(([, value]) => isTold(value))) {
    const each = element("span");
    each.append(colour(name), `${partName(name)} ${signed(value)}`);
    made.append(each);
  }
  return made;
}

function because(item) {
  const said = item.contributions.map(
    ({ item: token, title, contribution }) => `${title || token} ${signed(contribution)}`,
  );
  return element("p", "because", say("because", { items: said.join("; ") }));
}

// The address names what is shown, so that it can be kept and sent.

async function fromAddress() {
  const given = [...new URLSearchParams(location.hash.slice(1))].filter(([key]) => key in KINDS);
  if (given.length) {
    document.querySelector(`input[name=mode][value=${given[0][0]}]`).checked = true;
    const tokens = given.filter(([key]) => key === mode()).map(([, token]) => token);
    picked = await Promise.all(tokens.map(withTitle));
  }
  settle();
  await show();
}

async function withTitle(token) {
  const known = picked.find((name) => name.token === token);
  if (known || mode() === "user") return known || { token };
  const names = await ask(`names?kind=item&text=${encodeURIComponent(token)}`);
  return names.find((name) => name.token === token) || { token };
}

function settle() {
  const { kind } = KINDS[mode()];
  at("text-label").textContent = say(kind);
  at("seen-label").hidden = mode() === "similar";
  at("text").placeholder = say(`type_${kind}`);
}

async function first() {
  const [name] = await ask(`names?kind=${KINDS[mode()].kind}&text=`);
  picked = name ? [name] : [];
  note();
}

async function changeMode() {
  settle();
  at("text").value = "";
  await first();
  await offer();
}

const sayWhy = (action) => (...given) => Promise.resolve(action(...given)).catch(refuse);

let waiting;
at("text").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(sayWhy(offer), WAIT);
});
at("text").addEventListener("focus", sayWhy(offer));
at("asked").addEventListener("submit", sayWhy(async (event) => {
  event.preventDefault();
  await offer();
  const button = at("names").querySelector("button");
  if (button) button.click();
  else refuse(new Error(say(mode() === "user" ? "nobody" : "nothing", { text: at("text").value })));
}));
at("whole").addEventListener("click", sayWhy(showWhole));
for (const id of ["k", "kept"]) at(id).addEventListener("change", sayWhy(show));
for (const radio of document.querySelectorAll("input[name=mode]")) radio.addEventListener("change", sayWhy(changeMode));
window.addEventListener("hashchange", sayWhy(fromAddress));

translate();
sayWhy(async () => {
  const health = await ask("health");
  parts = health.parts;
  at("about").textContent = say("about", { ...health, users: count(health.users), items: count(health.items) });
  if (location.hash.length > 1) await fromAddress();
  else await first();
})();
