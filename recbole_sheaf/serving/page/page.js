// Asks the server and shows what it says. Titles and tokens are strangers' text: they become text nodes, never markup.

const SHOWN_NAMES = 12;
const WAIT = 150; // milliseconds after the last letter
const COLOURS = 8;
const LEAST = 0.005; // a part below it would be shown as 0.00
const at = (id) => document.getElementById(id);
const KINDS = {
  user: { kind: "user", label: "A user" },
  items: { kind: "item", label: "An item" },
  similar: { kind: "item", label: "An item" },
};

let parts = [];
let picked = []; // {token, title}
let asked = 0; // answers to older questions come too late
let offered = 0;

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
  if (!answer.ok) throw new Error(said.error || `the server answered ${answer.status}`);
  return said;
}

const mode = () => document.querySelector("input[name=mode]:checked").value;
const shown = (name) => name.title || name.token;
const signed = (value) => (value < 0 ? "\u2212" : "") + Math.abs(value).toFixed(2);

function refuse(error) {
  at("refused").textContent = error instanceof TypeError ? "the server does not answer; is it still running?" : error.message;
  at("refused").hidden = false;
  at("list").replaceChildren();
  at("parts").replaceChildren();
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
      button.setAttribute("aria-label", `without ${shown(name)}`);
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

function heading() {
  const names = picked.map(shown).join(", ");
  return { user: `For user ${names}`, items: `For somebody who likes ${names}`, similar: `Like ${names}` }[mode()];
}

async function show() {
  const mine = ++asked;
  showPicked();
  if (!picked.length) {
    at("list").replaceChildren();
    at("parts").replaceChildren();
    at("heading").textContent = "";
    return;
  }
  try {
    const found = await ask(...question());
    if (mine !== asked) return;
    at("refused").hidden = true;
    at("heading").textContent = heading();
    const told = parts.filter((name) => found.items.some((item) => item.parts && isTold(item.parts[name])));
    at("parts").replaceChildren(...told.map(legend));
    const pictures = found.items.some((item) => item.poster);
    const longest = Math.max(...found.items.map(length), 1e-9);
    at("list").replaceChildren(...found.items.map((item, place) => card(item, place + 1, pictures, longest)));
  } catch (error) {
    if (mine === asked) refuse(error);
  }
}

const length = (item) => Object.values(item.parts || {}).reduce((sum, value) => sum + Math.abs(value), 0);

function colour(name) {
  const made = element("span", "colour");
  made.style.background = `var(--part-${parts.indexOf(name) % COLOURS})`;
  return made;
}

const isTold = (value) => Math.abs(value) >= LEAST;

function legend(name) {
  const entry = element("li");
  entry.append(colour(name), name);
  return entry;
}

function card(item, place, pictures, longest) {
  const about = element("div", "about");
  const title = item.title || item.item;
  about.append(element("div", "title", `${place}. ${title}`));
  const token = item.title ? `${item.item} · ` : "";
  const word = mode() === "similar" ? "likeness" : "score";
  about.append(element("div", "score", `${token}${word} ${item.score.toFixed(3)}`));
  if (item.parts) about.append(bar(item, longest), numbers(item));
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

// A part is as wide as it is large; what speaks against the item is pale.
function bar(item, longest) {
  const made = element("div", "bar");
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", "how much each part has of the score; the numbers follow");
  for (const [name, value] of Object.entries(item.parts)) {
    const piece = element("span", value < 0 ? "negative" : "");
    piece.style.width = `${(100 * Math.abs(value)) / longest}%`;
    piece.style.background = `var(--part-${parts.indexOf(name) % COLOURS})`;
    piece.title = `${name} ${signed(value)}`;
    made.append(piece);
  }
  return made;
}

function numbers(item) {
  const made = element("div", "numbers");
  for (const [name, value] of Object.entries(item.parts).filter(([, value]) => isTold(value))) {
    const each = element("span");
    each.append(colour(name), `${name} ${signed(value)}`);
    made.append(each);
  }
  return made;
}

function because(item) {
  const said = item.contributions.map(
    ({ item: token, title, contribution }) => `${title || token} ${signed(contribution)}`,
  );
  return element("p", "because", `Of the user's items say most: ${said.join("; ")}`);
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
  at("text-label").textContent = KINDS[mode()].label;
  at("seen-label").hidden = mode() === "similar";
  at("text").placeholder = KINDS[mode()].kind === "user" ? "name of a user" : "title or name of an item";
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
  else refuse(new Error(`no ${KINDS[mode()].kind} has '${at("text").value}' in its name`));
}));
for (const id of ["k", "kept"]) at(id).addEventListener("change", sayWhy(show));
for (const radio of document.querySelectorAll("input[name=mode]")) radio.addEventListener("change", sayWhy(changeMode));
window.addEventListener("hashchange", sayWhy(fromAddress));

sayWhy(async () => {
  const health = await ask("health");
  parts = health.parts;
  const count = (number) => number.toLocaleString("en");
  at("about").textContent = `${health.model} on ${health.dataset}: ${count(health.users)} users, ${count(health.items)} items`;
  if (location.hash.length > 1) await fromAddress();
  else await first();
})();
