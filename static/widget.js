// Frontdesk's web chat: <script src="https://…/widget.js" data-key="…" defer>. No dependency, nothing on the page but one element with
// a shadow tree; no inline style, no HTML made of strings, so it lives under the strictest content policy (docs/widget.md).
"use strict";
(() => {
  const script = document.currentScript;
  const { key, preview } = script.dataset;
  if (!key || (window.frontdeskChats ||= {})[key]) return;

  const base = `${new URL(script.src).origin}/widget/${encodeURIComponent(key)}`;
  const language = script.dataset.lang || document.documentElement.lang || navigator.language || "";
  const POLL = 3000, SLOW_POLL = 20000, SILENT = 50000, STREAM_TRY = 8000, GROWN_STALE = 20000, TYPING = 6000, HIDDEN = 300000;
  const GROUPED = 300; // seconds within which messages of one side stand together

  // --- what this browser keeps: the token, what is not yet sent -------------------------------------------------------------
  const place = `frontdesk:${key}`;
  let kept = { token: "", outbox: [], open: false };
  const load = () => { try { kept = { ...kept, ...JSON.parse(localStorage.getItem(place)) }; } catch { /* a private window */ } };
  const keep = () => { try { localStorage.setItem(place, JSON.stringify(kept)); } catch { /* then it lasts as long as the page */ } };
  if (!preview) { load(); kept.outbox.forEach((mine) => { delete mine.accepted; }); } // sending again does no harm: the id is the same

  let look, texts, messages = [], earlier = false, writing = "", person = null, asked = false, known = "", left = false;
  let opened = false, online = true, slow = false, typingUntil = 0, writingAt = 0, askTimer, dismissedAsk = false;
  const told = new Map(); // message id → the status that the server was told

  // --- DOM ---------------------------------------------------------------------------------------------------------------------
  const make = (tag, values = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(values)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name in element && typeof value !== "string") element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };
  const icon = (path) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [name, value] of Object.entries({ viewBox: "0 0 24 24", width: "24", height: "24", fill: "none", stroke: "currentColor",
      "stroke-width": "1.8", "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" })) svg.setAttribute(name, value);
    const line = document.createElementNS(svg.namespaceURI, "path");
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
  };
  const CHAT = "M4 5h16v11H11l-5 4v-4H4z", CLOSE = "M6 6l12 12M18 6 6 18", SEND = "M4 12 20 4l-5 16-3-7zM12 13l8-9", FILE = "M6 3h8l4 4v14H6zM14 3v4h4";

  const host = make(preview ? "div" : "frontdesk-chat");
  const root = host.attachShadow({ mode: "open" });
  let ui; // the parts that change

  const css = (colours, scheme) => `
    :host { all: initial; --accent: ${colours.accent}; --on-accent: ${colours.on_accent}; color-scheme: ${scheme === "auto" ? "light dark" : scheme}; }
    ${scheme === "dark" ? "" : `:host { ${light(colours)} }`}
    ${scheme === "dark" ? `:host { ${dark(colours)} }` : scheme === "auto" ? `@media (prefers-color-scheme: dark) { :host { ${dark(colours)} } }` : ""}
    * { box-sizing: border-box; margin: 0; }
    .all { font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; color: var(--ink); text-align: start; }
    button, input, textarea { font: inherit; color: inherit; }
    button { cursor: pointer; border: 0; background: none; padding: 0; }
    [hidden] { display: none !important; }
    :focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
    .launcher { position: fixed; z-index: 2147483000; bottom: max(20px, env(safe-area-inset-bottom)); inset-inline-end: 20px; width: 60px; height: 60px;
      border-radius: 50%; background: var(--accent); color: var(--on-accent); display: grid; place-items: center; box-shadow: 0 4px 20px #0004, 0 0 0 1px var(--edge); }
    .start .launcher, .start .panel { inset-inline: 20px auto; }
    .launcher:hover { filter: brightness(1.08); }
    .launcher:focus-visible { outline-offset: 3px; }
    .count { position: absolute; top: -4px; inset-inline-end: -4px; min-width: 22px; height: 22px; padding: 0 6px; border-radius: 11px; background: #b3261e; color: #fff;
      font-size: 12px; font-weight: 650; line-height: 22px; text-align: center; }
    .panel { position: fixed; z-index: 2147483000; bottom: max(92px, env(safe-area-inset-bottom)); inset-inline-end: 20px; width: 380px; max-width: calc(100vw - 40px);
      height: min(620px, 100dvh - 112px); display: flex; flex-direction: column; overflow: hidden; border-radius: 16px; background: var(--ground);
      box-shadow: 0 12px 48px #0005, 0 0 0 1px var(--line); }
    header { flex: none; display: flex; align-items: center; gap: 12px; padding: 14px 12px 14px 16px; padding-inline: 16px 12px; background: var(--accent); color: var(--on-accent); }
    header div { flex: 1; min-width: 0; }
    h2 { font-size: 16px; font-weight: 650; line-height: 1.3; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    header p { font-size: 13px; opacity: .92; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    header button { flex: none; width: 40px; height: 40px; border-radius: 10px; display: grid; place-items: center; }
    header button:hover { background: color-mix(in srgb, currentColor 16%, transparent); }
    header :focus-visible { outline-color: currentColor; }
    .scroll { flex: 1; min-height: 0; overflow-y: auto; overscroll-behavior: contain; padding: 16px; display: flex; flex-direction: column; }
    .log { display: flex; flex-direction: column; }
    .message { max-width: 84%; align-self: flex-start; margin-top: 10px; display: flex; flex-direction: column; align-items: flex-start; }
    .message.own { align-self: flex-end; align-items: flex-end; }
    .message.follows { margin-top: 3px; }
    .message.follows .who { display: none; }
    .who { font-size: 12px; color: var(--soft); margin: 0 4px 2px; }
    .bubble { padding: 8px 12px; border-radius: 16px; border-end-start-radius: 5px; background: var(--raised); white-space: pre-wrap; overflow-wrap: anywhere; }
    .own .bubble { background: var(--accent); color: var(--on-accent); border-radius: 16px; border-end-end-radius: 5px; }
    .bubble a { color: inherit; text-underline-offset: 2px; }
    .bubble code { font: 13px/1.4 ui-monospace, Menlo, Consolas, monospace; }
    .bubble img { display: block; max-width: 100%; max-height: 260px; border-radius: 10px; margin-block: 2px; }
    .bubble .file { display: flex; align-items: center; gap: 8px; }
    .state { font-size: 12px; color: var(--soft); margin: 2px 4px 0; }
    .state button, .link { color: var(--accent-ink); text-decoration: underline; text-underline-offset: 2px; }
    .writing .bubble::after { content: "▍"; animation: blink 1s steps(2) infinite; opacity: .6; }
    .dots { align-self: flex-start; margin-top: 10px; padding: 13px 14px; border-radius: 16px; border-end-start-radius: 5px; background: var(--raised); display: flex; gap: 5px; }
    .dots i { width: 7px; height: 7px; border-radius: 50%; background: var(--soft); animation: bounce 1.2s infinite; }
    .dots i:nth-child(2) { animation-delay: .15s; } .dots i:nth-child(3) { animation-delay: .3s; }
    @keyframes bounce { 0%, 60%, 100% { transform: none; opacity: .5; } 30% { transform: translateY(-4px); opacity: 1; } }
    @keyframes blink { to { opacity: 0; } }
    @media (prefers-reduced-motion: reduce) { * { animation: none !important; scroll-behavior: auto !important; } }
    .questions { display: flex; flex-direction: column; align-items: flex-end; gap: 8px; margin-top: 14px; }
    .questions button { padding: 8px 14px; border: 1px solid var(--accent-ink); border-radius: 18px; color: var(--accent-ink); text-align: start; }
    .questions button:hover { background: var(--raised); }
    .note { flex: none; padding: 8px 16px; background: var(--warn); color: var(--on-warn); font-size: 13px; }
    .away { margin-top: 12px; padding: 8px 12px; border-radius: 10px; background: var(--warn); color: var(--on-warn); font-size: 13px; }
    .details { margin-top: 14px; padding: 14px; border: 1px solid var(--line); border-radius: 14px; display: grid; gap: 10px; }
    .details label { display: grid; gap: 3px; font-size: 13px; color: var(--soft); }
    .details input, textarea { border: 1px solid var(--field); border-radius: 10px; background: var(--ground); padding: 8px 10px; width: 100%; color: var(--ink); }
    .details .row { display: flex; gap: 8px; align-items: center; justify-content: space-between; }
    .wrong { color: var(--danger); font-size: 13px; }
    .fill { padding: 8px 16px; border-radius: 10px; background: var(--accent); color: var(--on-accent); font-weight: 600; }
    .write { flex: none; display: flex; gap: 8px; align-items: flex-end; padding: 10px 12px max(10px, env(safe-area-inset-bottom)); border-top: 1px solid var(--line); }
    textarea { flex: 1; resize: none; min-height: 42px; max-height: 130px; line-height: 1.4; font-size: 16px; }
    textarea::placeholder { color: var(--soft); opacity: 1; }
    .write button { flex: none; width: 42px; height: 42px; border-radius: 10px; background: var(--accent); color: var(--on-accent); display: grid; place-items: center; }
    [dir="rtl"] .write svg { transform: scaleX(-1); }
    .whatsapp { flex: none; padding: 0 16px 10px; text-align: center; font-size: 13px; }
    .earlier { align-self: center; font-size: 13px; }
    .away-from-sight { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
    .shown .launcher, .shown .panel { position: static; margin: 0; } .shown { display: flex; flex-direction: column; align-items: flex-end; gap: 12px; }
    .shown.start { align-items: flex-start; } .shown .panel { width: 100%; max-width: 380px; height: 520px; } .shown .launcher { position: relative; inset: auto; }
    @media (max-width: 480px) {
      .all:not(.shown) .panel { inset: 0; width: auto; max-width: none; height: 100dvh; border-radius: 0; }
      .all:not(.shown).open .launcher { display: none; }
    }
    @media (forced-colors: active) { .bubble, .launcher, .panel, .fill, .write button { border: 1px solid; } }
    @media print { .all { display: none; } }`;
  const light = (colours) => `--ground: #fff; --raised: #eff2f0; --ink: #18201c; --soft: #59645e; --line: #dfe4e1; --field: #87928c; --edge: #0000; --danger: #b3261e;
    --warn: #fdf2d8; --on-warn: #5d3f00; --accent-ink: ${colours.light}; --focus: ${colours.light};`;
  const dark = (colours) => `--ground: #181c1b; --raised: #262c29; --ink: #e8edea; --soft: #9caaa3; --line: #2e3532; --field: #6d7973; --edge: #fff3; --danger: #ff8f85;
    --warn: #362a10; --on-warn: #f3d28a; --accent-ink: ${colours.dark}; --focus: ${colours.dark};`;

  function dress() {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css(look.colours, look.scheme));
    root.adoptedStyleSheets = [sheet];
  }

  function build() {
    texts = look.texts;
    dress();
    ui = {};
    ui.count = make("span", { class: "count", hidden: true });
    ui.launcher = make("button", { class: "launcher", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", onclick: () => show(!opened) }, icon(CHAT), ui.count);
    ui.sub = make("p", { hidden: true });
    ui.older = make("button", { class: "earlier link", type: "button", hidden: true, onclick: loadEarlier }, texts.earlier);
    ui.log = make("div", { class: "log", role: "log", "aria-live": "polite", "aria-relevant": "additions", "aria-label": texts.title });
    ui.writing = make("div", { class: "message writing", "aria-hidden": "true", hidden: true }, make("div", { class: "bubble", dir: "auto" }));
    ui.dots = make("div", { class: "dots", "aria-hidden": "true", hidden: true }, make("i"), make("i"), make("i"));
    ui.status = make("p", { class: "away-from-sight", role: "status" });
    ui.questions = make("div", { class: "questions" }, ...look.questions.map((words) => make("button", { type: "button", dir: "auto", onclick: () => ask(words) }, words)));
    ui.away = make("p", { class: "away", hidden: (look.open && !preview) || !texts.away, dir: "auto" }, texts.away);
    ui.details = details();
    ui.note = make("p", { class: "note", role: "status", hidden: true });
    ui.text = make("textarea", { rows: 1, maxLength: 2000, placeholder: texts.placeholder, "aria-label": texts.placeholder, dir: "auto", enterkeyhint: "send", oninput: typed, onkeydown: onKey });
    ui.form = make("form", { class: "write", onsubmit: (event) => { event.preventDefault(); send(); } }, ui.text,
      make("button", { "aria-label": texts.send, title: texts.send }, icon(SEND)));
    ui.whatsapp = make("p", { class: "whatsapp", hidden: !look.whatsapp }, make("button", { class: "link", type: "button", onclick: toWhatsApp }, texts.whatsapp));
    const greeting = make("div", { class: "message" }, make("span", { class: "who" }, look.business), make("div", { class: "bubble", dir: "auto" }, texts.greeting));
    ui.greeting = greeting;
    ui.scroll = make("div", { class: "scroll", tabindex: "0", "aria-label": texts.title }, ui.older, greeting, ui.log, ui.writing, ui.dots, ui.questions, ui.away, ui.details);
    ui.panel = make("section", { class: "panel", role: "dialog", "aria-label": texts.title, hidden: true, onkeydown: trap },
      make("header", {}, make("div", {}, make("h2", { dir: "auto" }, texts.title), ui.sub),
        make("button", { type: "button", "aria-label": texts.close, title: texts.close, onclick: () => show(false) }, icon(CLOSE))),
      ui.scroll, ui.note, ui.status, ui.form, ui.whatsapp);
    ui.all = make("div", { class: `all ${look.side}${preview ? " shown" : ""}`, dir: look.direction, lang: look.language }, ui.panel, ui.launcher);
    root.replaceChildren(ui.all);
    ui.lines = new Map();
    render();
  }

  function details() {
    const field = (name, type, complete) => make("label", {}, texts[name], make("input", { name, type, autocomplete: complete, maxLength: 254, dir: "auto" }));
    const wrong = make("p", { class: "wrong", role: "alert", hidden: true }, texts.wrong);
    return make("form", { class: "details", hidden: true, novalidate: "", "aria-label": texts.ask, onsubmit: async (event) => {
      event.preventDefault();
      const form = event.target, given = Object.fromEntries(new FormData(form));
      const [status] = await call("POST", "details", { id: newId(), ...given });
      wrong.hidden = status !== 422;
      if (status === 202) { left = true; asked = false; render(); setTimeout(() => { left = false; render(); }, 10000); ui.text.focus(); refresh(); }
      if (status === 422) form.querySelector("[name=email]").focus();
    } }, make("p", { dir: "auto" }, texts.ask), field("name", "text", "name"), field("email", "email", "email"), field("phone", "tel", "tel"), wrong,
      make("div", { class: "row" }, make("button", { class: "fill" }, texts.send),
        make("button", { class: "link", type: "button", onclick: () => { dismissedAsk = true; render(); ui.text.focus(); } }, texts.later)));
  }

  // --- text: *bold*, _italic_, ~struck~, ```mono``` and addresses, as WhatsApp shows them ----------------------------------------
  const MARKS = /```([^`]+)```|https?:\/\/[^\s<>"]*[^\s<>".,;:!?)\]'*_~]|(?<![\p{L}\p{N}])([*_~])(?=\S)([^\n]*?\S)\2(?![\p{L}\p{N}])/gu;
  const TAGS = { "*": "b", "_": "em", "~": "s" };
  function marked(text, into) {
    let at = 0;
    for (const found of text.matchAll(MARKS)) {
      into.append(text.slice(at, found.index));
      at = found.index + found[0].length;
      if (found[1]) into.append(make("code", {}, found[1]));
      else if (found[2]) into.append(marked(found[3], make(TAGS[found[2]])));
      else into.append(make("a", { href: found[0], target: "_blank", rel: "noopener noreferrer nofollow" }, found[0]));
    }
    into.append(text.slice(at));
    return into;
  }

  // --- drawing -----------------------------------------------------------------------------------------------------------------------
  const visible = () => [...messages, ...kept.outbox.filter((mine) => !messages.some((one) => one.id === mine.id)).map((mine) => ({ ...mine, from: "visitor", mine }))];

  function render() {
    if (!ui) return;
    const atEnd = ui.scroll.scrollHeight - ui.scroll.scrollTop - ui.scroll.clientHeight < 80;
    const lines = visible(), ids = new Set(lines.map((line) => line.id));
    for (const [id, element] of ui.lines) if (!ids.has(id)) { element.remove(); ui.lines.delete(id); }
    let before = null;
    for (const line of lines) {
      const element = ui.lines.get(line.id) || drawn(line);
      if ((before ? before.element.nextSibling : ui.log.firstChild) !== element) before ? before.element.after(element) : ui.log.prepend(element);
      element.classList.toggle("follows", !!before && before.line.from === line.from && before.line.name === line.name && line.at - before.line.at < GROUPED);
      state(element, line);
      before = { line, element };
    }
    ui.older.hidden = !earlier;
    ui.greeting.hidden = earlier;
    ui.questions.hidden = lines.length > 0 || !look.questions.length;
    ui.details.hidden = !asked || dismissedAsk;
    ui.writing.hidden = !writing;
    if (writing) ui.writing.firstChild.replaceChildren(marked(writing, document.createDocumentFragment()));
    const typing = !writing && typingUntil > Date.now();
    ui.dots.hidden = !typing;
    const status = typing || writing ? texts.typing : "";
    if (ui.status.textContent !== status && (status || ui.status.textContent === texts.typing)) ui.status.textContent = status;
    ui.note.textContent = !online ? texts.offline : slow ? texts.slow : left ? texts.thanks : "";
    ui.note.hidden = online && !slow && !left;
    ui.sub.textContent = person ? person : person === "" ? texts.person : look.business;
    ui.sub.hidden = ui.sub.textContent === texts.title;
    const unread = opened ? 0 : messages.filter(isUnread).length;
    ui.count.hidden = !unread;
    ui.count.textContent = unread > 99 ? "99+" : unread;
    ui.launcher.setAttribute("aria-label", `${opened ? texts.close : texts.open}${unread ? `, ${texts.unread.replace("{count}", unread)}` : ""}`);
    if (atEnd || !before) toEnd();
  }

  const isUnread = (line) => line.from !== "visitor" && !["read", "played"].includes(line.state) && told.get(line.id) !== "read";
  const toEnd = () => { ui.scroll.scrollTop = ui.scroll.scrollHeight; };

  function drawn(line) {
    const bubble = make("div", { class: "bubble", dir: "auto" });
    if (line.file) bubble.append(file(line.file));
    if (line.text) marked(line.text, bubble);
    const own = line.from === "visitor";
    const who = own ? null : make("span", { class: "who" }, line.name || (line.from === "person" ? texts.person : texts.bot));
    const element = make("div", { class: `message${own ? " own" : ""}` }, who, bubble, make("span", { class: "state" }));
    ui.lines.set(line.id, element);
    return element;
  }

  function file({ kind, name, url }) {
    if (kind === "gone") return make("i", {}, texts.gone);
    const address = new URL(url, script.src).href;
    const link = make("a", { href: address, target: "_blank", rel: "noopener" });
    if (kind === "image") link.append(make("img", { src: address, alt: name, onload: () => toEnd() }));
    else { link.className = "file"; link.append(icon(FILE), name); }
    return link;
  }

  function state(element, line) {
    const place = element.lastChild, words = line.mine?.failed ? texts.failed : line.mine ? texts.sending : "";
    if (place.dataset.words === words) return;
    place.dataset.words = words;
    place.replaceChildren(words);
    if (line.mine?.failed) place.append(" ", make("button", { type: "button", onclick: () => { delete line.mine.failed; keep(); render(); flush(); } }, texts.retry));
  }

  // --- opening, keys -----------------------------------------------------------------------------------------------------------------
  function show(on, focus = true) {
    opened = kept.open = on;
    if (!preview) keep();
    ui.panel.hidden = !on;
    ui.all.classList.toggle("open", on);
    ui.launcher.setAttribute("aria-expanded", on);
    ui.launcher.replaceChildren(icon(on ? CLOSE : CHAT), ui.count);
    render();
    if (on) { toEnd(); if (focus) ui.text.focus(); if (!preview) { connect(); refresh(); acknowledge(); } }
    else if (focus) ui.launcher.focus();
  }

  function trap(event) {
    if (event.key === "Escape") { event.stopPropagation(); return show(false); }
    if (event.key !== "Tab" || preview) return;
    const stops = [...ui.panel.querySelectorAll("button, textarea, input, a[href], .scroll")].filter((one) => one.offsetParent !== null);
    const at = stops.indexOf(root.activeElement), to = event.shiftKey ? (at <= 0 ? stops.at(-1) : null) : at === stops.length - 1 ? stops[0] : null;
    if (to) { event.preventDefault(); to.focus(); }
  }

  function onKey(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
  }

  let typedAt = 0;
  function typed() {
    ui.text.style.height = "auto";
    ui.text.style.height = `${ui.text.scrollHeight + 2}px`;
    if (!preview && kept.token && messages.length && Date.now() - typedAt > 2500) { typedAt = Date.now(); call("POST", "typing"); }
  }

  // --- sending: what is written waits in the outbox, under an id of its own, until the server has it ---------------------------------
  const newId = () => (crypto.randomUUID ? crypto.randomUUID() : Array.from(crypto.getRandomValues(new Uint8Array(16)), (part) => part.toString(16).padStart(2, "0")).join(""));

  function ask(words) { ui.text.value = words; send(); ui.text.focus(); }

  function send() {
    const text = ui.text.value.trim();
    if (!text || preview) return;
    ui.text.value = "";
    typed();
    kept.outbox.push({ id: newId(), text, at: Date.now() / 1000 });
    dismissedAsk = false;
    keep(); render(); toEnd(); flush();
  }

  let flushing = false, flushTimer;
  async function flush() {
    clearTimeout(flushTimer);
    if (flushing) return;
    flushing = true;
    let pause = 0;
    for (let mine; !pause && (mine = kept.outbox.find((one) => !one.failed && !one.accepted)); keep(), render()) {
      const [status, , wait] = await call("POST", "messages", { id: mine.id, text: mine.text });
      slow = status === 429;
      if (status === 202) mine.accepted = true;
      else if (status === 429) pause = wait || 3;
      else if (status === 0 || status >= 500) pause = 3;
      else mine.failed = true;
    }
    flushing = false;
    if (pause) flushTimer = setTimeout(flush, pause * 1000);
    if (slow) setTimeout(() => { slow = false; render(); }, 8000);
    connect();
    refresh();
  }

  // --- asking ------------------------------------------------------------------------------------------------------------------------
  /** HTTP's status (0: no connection), the JSON, and the seconds after which to try again. Finds a token where there is none. */
  async function call(method, path, body, again = true) {
    try {
      if (!kept.token) {
        const begun = await fetch(`${base}/visitors`, { method: "POST", credentials: "omit" });
        if (begun.ok) { kept.token = (await begun.json()).token; keep(); }
        else return [begun.status, null, Number(begun.headers.get("Retry-After"))];
      }
      const headers = { Authorization: `Bearer ${kept.token}`, ...(body ? { "Content-Type": "application/json" } : {}) };
      const answer = await fetch(`${base}/${path}`, { method, headers, body: body && JSON.stringify(body), credentials: "omit", cache: "no-store" });
      if (answer.status === 401 && again) { kept.token = known = ""; keep(); return call(method, path, body, false); }
      if (!online) { online = true; render(); }
      return [answer.status, answer.headers.get("Content-Type")?.includes("json") ? await answer.json() : null, Number(answer.headers.get("Retry-After"))];
    } catch {
      if (online) { online = false; render(); }
      return [0, null, 0];
    }
  }

  let asking = false, askAgain = false;
  async function refresh() {
    if (!kept.token || preview) return;
    if (asking) { askAgain = true; return; }
    asking = true;
    const [status, found] = await call("GET", `messages?known=${known}`);
    asking = false;
    if (status === 200) take(found);
    if (askAgain) { askAgain = false; refresh(); }
  }

  function take(found) {
    if (found.token) kept.token = found.token;
    known = found.known;
    const first = found.messages[0]?.at ?? Infinity, fresh = new Set(found.messages.map((line) => line.id));
    const older = earlier !== null && messages.length ? messages.filter((line) => line.at <= first && !fresh.has(line.id)) : [];
    if (!older.length) earlier = found.earlier;
    messages = found.messages.length ? [...older, ...found.messages] : [];
    writing = found.writing;
    writingAt = Date.now();
    person = found.person;
    asked = found.ask;
    clearTimeout(askTimer);
    if (found.ask_in) askTimer = setTimeout(refresh, found.ask_in * 1000);
    if (messages.at(-1)?.from !== "visitor") typingUntil = 0;
    kept.outbox = kept.outbox.filter((mine) => !messages.some((line) => line.id === mine.id));
    keep(); render(); acknowledge(); connect();
  }

  async function loadEarlier() {
    const [status, found] = await call("GET", `messages?before=${encodeURIComponent(messages[0].id)}`);
    if (status !== 200) return;
    const height = ui.scroll.scrollHeight;
    messages = [...found.messages, ...messages];
    earlier = found.earlier;
    render();
    ui.scroll.scrollTop += ui.scroll.scrollHeight - height;
    (earlier ? ui.older : ui.scroll).focus();
  }

  async function acknowledge() {
    const status = opened && !document.hidden ? "read" : "delivered";
    const wanted = messages.filter((line) => line.from !== "visitor" && isUnread(line) && told.get(line.id) !== status && !(status === "delivered" && line.state !== "sent")).map((line) => line.id).slice(-50);
    if (!wanted.length) return;
    wanted.forEach((id) => told.set(id, status));
    const [answer] = await call("POST", "seen", { status, ids: wanted });
    if (answer !== 202) wanted.forEach((id) => told.delete(id));
    render();
  }

  async function toWhatsApp() {
    const tab = window.open("", "_blank");
    const [status, found] = await call("POST", `whatsapp?lang=${encodeURIComponent(language)}`);
    if (status !== 200) return tab?.close();
    if (tab) { tab.opener = null; tab.location = found.url; } else location.href = found.url;
  }

  // --- live: one stream; where it cannot be had, or is held back on the way, a question every few seconds --------------------------
  let stream = null, streams = false, tries = 0, streamTimer, pollTimer, heardAt = 0;
  const wantsLive = () => !preview && kept.token && (opened || messages.length || kept.outbox.length) && !(document.hidden && hiddenAt && Date.now() - hiddenAt > HIDDEN);

  async function connect() {
    poll();
    if (stream || !wantsLive()) return;
    clearTimeout(streamTimer);
    const mine = stream = new AbortController();
    const begun = heardAt = Date.now();
    const first = setTimeout(() => mine.abort(), STREAM_TRY); // a proxy that gathers the whole answer first
    try {
      const answer = await fetch(`${base}/stream`, { headers: { Authorization: `Bearer ${kept.token}`, Accept: "text/event-stream" }, credentials: "omit", cache: "no-store", signal: mine.signal });
      if (!answer.ok) { if (answer.status === 401) refresh(); throw answer.status; }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ;) {
        const { value, done } = await reader.read();
        if (done) break;
        clearTimeout(first);
        heardAt = Date.now();
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) if (part.startsWith("data: ")) hear(JSON.parse(part.slice(6)));
      }
    } catch { /* closed, refused, or gone: below */ }
    clearTimeout(first);
    stream = null;
    tries = Date.now() - begun > 10000 ? 0 : tries + 1;
    streams = false;
    poll();
    if (wantsLive()) streamTimer = setTimeout(connect, Math.min(60000, 700 * 2 ** tries) * (0.7 + Math.random() * 0.6));
  }

  function hear(event) {
    if (event.type === "open") { streams = true; poll(); refresh(); flush(); }
    if (event.type === "changed") refresh();
    if (event.type === "typing") { typingUntil = Date.now() + TYPING; setTimeout(render, TYPING + 50); render(); }
    if (event.type === "writing") {
      writing = event.text;
      writingAt = Date.now();
      if (writing) typingUntil = 0;
      render();
      if (opened && ui.scroll.scrollHeight - ui.scroll.scrollTop - ui.scroll.clientHeight < 160) toEnd();
    }
  }

  function poll() {
    clearTimeout(pollTimer);
    if (streams || !wantsLive()) return;
    pollTimer = setTimeout(async () => { await refresh(); poll(); }, opened && !document.hidden ? POLL : SLOW_POLL);
  }

  let hiddenAt = 0;
  if (!preview) {
    document.addEventListener("visibilitychange", () => {
      hiddenAt = document.hidden ? Date.now() : 0;
      if (!document.hidden) { connect(); refresh(); acknowledge(); }
    });
    addEventListener("online", () => { online = true; tries = 0; clearTimeout(streamTimer); stream?.abort(); render(); setTimeout(() => { flush(); connect(); }, 50); });
    addEventListener("offline", () => { online = false; if (ui) render(); });
    addEventListener("storage", (event) => { if (event.key === place) { const { open, outbox } = kept; load(); kept.open = open; kept.outbox = outbox; } });
    setInterval(() => {
      if (stream && streams && Date.now() - heardAt > SILENT) stream.abort();
      if (document.hidden && hiddenAt && Date.now() - hiddenAt > HIDDEN) stream?.abort();
      if (writing && Date.now() - writingAt > GROWN_STALE) { writing = ""; render(); }
    }, 5000);
  }

  // --- beginning -----------------------------------------------------------------------------------------------------------------------
  async function begin(wait = 2000) {
    try {
      const answer = await fetch(`${base}/look?lang=${encodeURIComponent(language)}`, { credentials: "omit" });
      if (answer.status === 403 || answer.status === 404) return console.error(`Frontdesk chat: ${(await answer.json()).error.message}`);
      if (!answer.ok) throw answer.status;
      look = await answer.json();
    } catch {
      return setTimeout(() => begin(Math.min(60000, wait * 2)), wait);
    }
    document.body.append(host);
    build();
    if (kept.token) { await refresh(); if (kept.outbox.length) flush(); connect(); }
    if (kept.open && innerWidth > 480) show(true, false);
  }

  function beginPreview() {
    const frame = document.querySelector(preview);
    const take = () => {
      look = JSON.parse(frame.dataset.look);
      build();
      show(true, false);
    };
    frame.append(host);
    frame.addEventListener("frontdesk:look", take);
    take();
  }

  window.frontdeskChats[key] = { open: () => ui && show(true), close: () => ui && show(false) };
  if (preview) beginPreview(); else if (document.body) begin(); else document.addEventListener("DOMContentLoaded", () => begin());
})();
