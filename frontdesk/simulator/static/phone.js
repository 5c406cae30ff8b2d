// The phone: asks the simulator what is new, draws it, and posts what the customer does.
"use strict";

const API = "/simulator/api";
const POLL_MS = 700;
const NOTICE_MS = 10000;
const PEOPLE = [
  { key: "15550123001", from: "15550123001", name: "Ana Lima" },
  { key: "4915500123002", from: "4915500123002", name: "Jonas Weber" },
  { key: "972550123003", from: "972550123003", name: "נועה כהן" },
  { key: "US.13491208655302741918", user_id: "US.13491208655302741918", name: "@kim (user name only)" },
];

const at = (id) => document.getElementById(id);
const given = PEOPLE[document.body.dataset.person]; // of two phones on one page each is somebody's
let customer = given || PEOPLE.find((person) => person.key === sessionStorage.customer) || PEOPLE[0];
let seen = -1;
let drawn = "";
let quoting = null;
let attached = null;

async function call(method, path, body) {
  const options = { method };
  if (body instanceof FormData) options.body = body;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  const response = await fetch(`${API}/${path}`, options);
  if (!response.ok) throw new Error(`the simulator answered ${response.status}`);
  return response.json();
}

function sender() {
  const { from, user_id, name } = customer;
  return { from, user_id, name };
}

async function write(message) {
  const context = quoting ? { context: { id: quoting.id } } : {};
  unquote();
  try {
    await call("POST", "messages", { ...sender(), ...context, ...message });
  } catch (error) {
    say(String(error.message || error));
  }
  poll();
}

// --- drawing -----------------------------------------------------------------------------------------------------

function dayOf(line) {
  const day = new Date(line.at * 1000);
  return day.toDateString() === new Date().toDateString()
    ? "Today" : day.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
}

function draw(lines, typing) {
  const thread = at("thread");
  const picture = JSON.stringify([customer.key, lines, typing]);
  if (picture === drawn) return;
  drawn = picture;
  const atEnd = thread.scrollHeight - thread.scrollTop - thread.clientHeight < 80;
  const nodes = [];
  let day = null;
  for (const line of lines) {
    if (line.type === "reaction") continue;
    if (dayOf(line) !== day) nodes.push(element("li", "day", (day = dayOf(line))));
    nodes.push(lineNode(line, lines, { choose, quote }));
  }
  if (!nodes.length) {
    nodes.push(element("li", "empty", element("strong", "", "Write a message as a customer"),
      "It goes the same way as on WhatsApp: webhook, queue, model, answer. Try “When are you open tomorrow?”"));
  }
  if (typing) {
    const dots = element("li", "line theirs typing", element("div", "bubble", element("i"), element("i"), element("i")));
    dots.setAttribute("aria-label", "typing");
    nodes.push(dots);
  }
  thread.replaceChildren(...nodes);
  at("presence").textContent = typing ? "typing…" : "simulated business";
  if (atEnd) thread.scrollTop = thread.scrollHeight;
}

function drawLog(log) {
  const nodes = log.map((entry) => {
    const when = new Date(entry.at * 1000).toLocaleTimeString([], { hour12: false });
    const webhook = entry.bytes !== undefined;
    const bad = webhook ? entry.status !== 200 : entry.code;
    const words = webhook
      ? `webhook ${entry.kind} → ${entry.status || "no answer"} in ${entry.ms} ms`
      : `API ${entry.kind}${entry.code ? ` → error ${entry.code}` : ""}`;
    return element("li", "", element("span", "when", when), element("span", bad ? "bad" : "", words));
  });
  at("log").replaceChildren(...(nodes.length ? nodes : [element("li", "none", "Nothing yet.")]));
}

function drawBehaviour(behaviour) {
  for (const box of document.querySelectorAll("input[data-field]")) {
    const from = "statuses" in box.dataset ? behaviour.statuses : behaviour;
    box.checked = JSON.stringify(from[box.dataset.field]) === JSON.stringify(JSON.parse(box.dataset.on));
  }
  const armed = behaviour.next_errors.map((error) => `error ${error.code}`);
  if (behaviour.lose_answers) armed.unshift("a lost answer");
  at("armed").textContent = armed.length ? `Next: ${armed.join(", then ")}` : "";
}

function say(words) {
  at("notice").textContent = words;
  at("notice").hidden = !words;
}

// --- asking ------------------------------------------------------------------------------------------------------

let state = { lines: [], typing: false };
let polling = false;

async function poll() {
  if (polling || document.hidden) return;
  polling = true;
  try {
    const key = encodeURIComponent(customer.key);
    const news = await call("GET", `state?key=${key}&seen=${seen}`);
    if (news.lines) {
      state.lines = news.lines;
      drawLog(news.log);
      drawBehaviour(news.behaviour);
    }
    seen = news.version;
    state.typing = news.typing;
    draw(state.lines, state.typing);
  } catch (error) {
    say("The simulator does not answer; it is started by bin/start.");
  } finally {
    polling = false;
  }
}

async function askNotice() {
  if (document.hidden) return;
  try {
    const response = await fetch("/simulator/notice");
    say((await response.json()).notice || "");
  } catch (error) {
    say("Frontdesk does not answer.");
  }
}

// --- the customer's hands ------------------------------------------------------------------------------------------

function choose(line, kind, { id, title, description }) {
  write({ type: "interactive", interactive: { type: kind, [kind]: { id, title, ...(description ? { description } : {}) } },
    context: { id: line.id } });
}

function quote(line) {
  quoting = line;
  at("quoted").textContent = summary(line);
  at("quoting").hidden = false;
  at("words").focus();
}

function unquote() {
  quoting = null;
  at("quoting").hidden = true;
}

function fit() {
  const words = at("words");
  words.rows = Math.min(5, words.value.split("\n").length);
}

at("composer").onsubmit = (event) => {
  event.preventDefault();
  const words = at("words").value;
  if (!words.trim() && !attached) return;
  at("words").value = "";
  fit();
  if (attached) {
    sendFile(words);
    return;
  }
  write({ type: "text", text: words });
};
at("words").oninput = fit;
at("words").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    at("composer").requestSubmit();
  }
};
at("unquote").onclick = unquote;
at("place").onclick = () => write({ type: "location",
  location: { latitude: 52.5163, longitude: 13.3777, name: "Old town square" } });
at("file").onchange = () => {
  [attached] = at("file").files;
  at("file").value = "";
  if (!attached) return;
  at("attached").textContent = attached.name;
  at("kind").value = kindOf(attached.type);
  at("attaching").hidden = false;
  at("words").focus();
};
at("unattach").onclick = unattach;

function kindOf(type) {
  if (type === "image/webp") return "sticker";
  if (type === "image/jpeg" || type === "image/png") return "image";
  if (type === "audio/ogg") return "voice";
  return { audio: "audio", video: "video" }[type.split("/")[0]] || "document";
}

function unattach() {
  attached = null;
  at("attaching").hidden = true;
}

async function sendFile(caption) {
  const form = new FormData();
  const kind = at("kind").value;
  const captioned = ["image", "video", "document"].includes(kind);
  form.set("file", attached);
  form.set("type", kind);
  if (captioned && caption.trim()) form.set("caption", caption);
  for (const [name, value] of Object.entries(sender())) if (value) form.set(name, value);
  unattach();
  try {
    await call("POST", "files", form);
    if (!captioned && caption.trim()) await call("POST", "messages", { ...sender(), type: "text", text: caption });
  } catch (error) {
    say("The file was not sent: WhatsApp takes pictures up to 5 MB, sounds and videos up to 16, documents up to 100, stickers up to 500 kB.");
  }
  poll();
}
for (const person of PEOPLE) at("customer").append(new Option(person.name, person.key, false, person === customer));
at("customer").onchange = () => {
  customer = PEOPLE.find((person) => person.key === at("customer").value);
  if (!given) sessionStorage.customer = customer.key;
  seen = -1;
  unquote();
  unattach();
  poll();
};

// --- making things go wrong ------------------------------------------------------------------------------------------

async function behave(changes) {
  drawBehaviour(await call("PUT", "behaviour", changes));
}
for (const button of document.querySelectorAll("button[data-once]")) {
  button.onclick = () => behave(JSON.parse(button.dataset.once));
}
for (const box of document.querySelectorAll("input[data-field]")) {
  box.onchange = () => {
    const change = { [box.dataset.field]: JSON.parse(box.checked ? box.dataset.on : box.dataset.off) };
    behave("statuses" in box.dataset ? { statuses: change } : change);
  };
}
at("fail").onclick = () => behave({ next_errors: [{ code: Number(at("code").value) }] });
at("best").onclick = () => behave({ lose_answers: 0, token_expired: false, latency_ms: 0, error_rate: 0,
  duplicate_webhooks: 0, next_errors: [], statuses: { order: "in_order" } });

if (matchMedia("(max-width: 56rem)").matches) at("drawer").open = false;
setInterval(poll, POLL_MS);
setInterval(askNotice, NOTICE_MS);
document.onvisibilitychange = () => { poll(); askNotice(); };
poll();
askNotice();
