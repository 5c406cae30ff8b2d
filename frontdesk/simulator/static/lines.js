// One message of the thread as DOM nodes.
"use strict";

const TICKS = {
  posting: ["on its way", "M8 2.2a4.8 4.8 0 1 0 .01 0M8 4.5V7l1.6 1"],
  sent: ["sent", "M2 7l3.2 3.2L12 3"],
  delivered: ["delivered", "M1 7l3.2 3.2L10 3M7.5 9.6l.8.6L15 3"],
  read: ["read", "M1 7l3.2 3.2L10 3M7.5 9.6l.8.6L15 3"],
  failed: ["not sent", "M8 2v6M8 11v.1"],
};

function element(name, className, ...content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

function tick(state) {
  const [words, path] = TICKS[state] || TICKS.posting;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 13");
  svg.setAttribute("class", `tick ${state}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", words);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

function summary(line) {
  const content = line.content || {};
  if (line.type === "text") return content.body || "";
  if (line.type === "interactive") return (content.body || content.button_reply || content.list_reply || {}).text
    || (content.button_reply || content.list_reply || {}).title || "choices";
  return content.caption || content.filename || content.name || (content.voice ? "voice message" : line.type);
}

function textNode(words) {
  const node = element("div", "text", marked(words));
  node.dir = "auto";
  return node;
}

function fileNode(type, content) {
  if (!content.id) return element("div", "kind", type === "image" ? "picture" : type);
  const address = `/simulator/api/files/${encodeURIComponent(content.id)}`;
  if (type === "document") {
    const link = element("a", "file", content.filename || "document");
    link.href = address;
    link.download = content.filename || "document";
    return link;
  }
  const node = element({ audio: "audio", video: "video" }[type] || "img", type);
  node.src = address;
  if (node.tagName === "IMG") node.alt = content.caption || type;
  else {
    node.controls = true;
    node.preload = "metadata";
  }
  return node;
}

function contentOf(line) {
  const content = line.content || {};
  switch (line.type) {
    case "text":
      return [textNode(content.body || "")];
    case "image":
    case "sticker":
    case "audio":
    case "video":
    case "document":
      return [fileNode(line.type, content), ...(content.caption ? [textNode(content.caption)] : [])];
    case "location":
      return [element("div", "kind", `📍 ${content.name || "Location"}`),
        element("div", "footing", `${content.latitude}, ${content.longitude}`)];
    case "interactive": {
      const reply = content.button_reply || content.list_reply;
      if (reply) return [textNode(reply.title)];
      const nodes = [];
      if (content.header && content.header.text) nodes.push(element("div", "heading", content.header.text));
      nodes.push(textNode((content.body || {}).text || ""));
      if (content.footer) nodes.push(element("div", "footing", content.footer.text));
      return nodes;
    }
    case "template":
      return [element("div", "kind", `Template “${content.name}”`)];
    default: {
      const nodes = [element("div", "kind", `[${line.type}]`)];
      if (content.caption) nodes.push(textNode(content.caption));
      return nodes;
    }
  }
}

function choicesOf(line, choose) {
  const action = (line.type === "interactive" && !line.mine && (line.content || {}).action) || {};
  const rows = (action.sections || []).flatMap((section) => section.rows || []);
  const made = element("div", "choices");
  for (const button of action.buttons || []) {
    const node = element("button", "", button.reply.title);
    node.type = "button";
    node.onclick = () => choose(line, "button_reply", button.reply);
    made.append(node);
  }
  for (const row of rows) {
    const node = element("button", "", row.title, ...(row.description ? [element("small", "", row.description)] : []));
    node.type = "button";
    node.onclick = () => choose(line, "list_reply", row);
    made.append(node);
  }
  return made.childElementCount ? [made] : [];
}

function lineNode(line, lines, { choose, quote }) {
  const node = element("li", `line ${line.mine ? "mine" : "theirs"}`);
  const bubble = element("div", "bubble");
  const quoted = line.context && lines.find((other) => other.id === (line.context.message_id || line.context.id));
  if (quoted) {
    const words = element("div", "quote", summary(quoted));
    words.dir = "auto";
    bubble.append(words);
  }
  bubble.append(...contentOf(line));
  const meta = element("div", "meta");
  const reply = element("button", "reply", "Reply");
  reply.type = "button";
  reply.setAttribute("aria-label", `Reply to: ${summary(line).slice(0, 60)}`);
  reply.onclick = () => quote(line);
  const time = new Date(line.at * 1000);
  meta.append(reply, element("time", "", time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })));
  if (line.mine) meta.append(tick(line.state));
  bubble.append(meta);
  node.append(bubble);
  const reactions = lines.filter((other) => other.type === "reaction" && (other.content || {}).message_id === line.id);
  const last = reactions[reactions.length - 1];
  if (last && last.content.emoji) node.append(element("div", "reaction", last.content.emoji));
  node.append(...choicesOf(line, choose));
  return node;
}
