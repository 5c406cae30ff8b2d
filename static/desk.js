// What every page of the desk needs of scripts: times in the reader's zone, questions before what cannot be undone, copying,
// errors of htmx, and the keyboard's place after a swap. Pages work without it, but for htmx's own parts.
"use strict";
(() => {
  // --- times: <time datetime="…Z" data-when="relative|clock|day|full"> ---------------------------------------------------
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const full = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
  const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
  const dated = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
  const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });

  function relatively(date) {
    const seconds = (date - Date.now()) / 1000, distance = Math.abs(seconds);
    if (distance < 45) return seconds > 0 ? "in a moment" : "just now";
    if (distance < 3600) return relative.format(Math.round(seconds / 60), "minute");
    if (distance < 86400) return relative.format(Math.round(seconds / 3600), "hour");
    if (distance < 7 * 86400) return relative.format(Math.round(seconds / 86400), "day");
    return dated.format(date);
  }

  const unit = (name) => new Intl.NumberFormat(undefined, { style: "unit", unit: name, unitDisplay: "short" });
  const units = [[86400, unit("day")], [3600, unit("hour")], [60, unit("minute")], [1, unit("second")]];

  function since(date) {
    const seconds = Math.max(1, (Date.now() - date) / 1000);
    const [size, format] = units.find(([size]) => seconds >= size);
    return format.format(Math.floor(seconds / size));
  }

  function daily(date) {
    const midnight = (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate());
    const days = Math.round((midnight(date) - midnight(new Date())) / 86400000);
    if (days === 0 || days === -1) return relative.format(days, "day").replace(/^./u, (letter) => letter.toUpperCase());
    return date.getFullYear() === new Date().getFullYear() ? day.format(date) : dated.format(date);
  }

  const styles = { relative: relatively, clock: (d) => clock.format(d), full: (d) => full.format(d), day: daily, since };

  function showTimes(root) {
    for (const element of root.querySelectorAll("time[data-when]")) {
      const date = new Date(element.dateTime);
      if (isNaN(date)) continue;
      const text = (styles[element.dataset.when] || relatively)(date);
      if (element.textContent !== text) element.textContent = text;
      if (!element.title) element.title = exact.format(date);
    }
  }
  showTimes(document);
  document.cookie = `zone=${Intl.DateTimeFormat().resolvedOptions().timeZone}; path=/; max-age=31536000; SameSite=Lax`;
  setInterval(() => document.hidden || showTimes(document), 20000);

  // --- questions: <form data-confirm="…" data-confirm-label="…">, and hx-confirm ----------------------------------------
  const dialog = document.getElementById("confirm");

  function ask(question, label, isGrave, then) {
    document.getElementById("confirm-text").textContent = question;
    document.getElementById("confirm-yes").textContent = label || "Go on";
    document.getElementById("confirm-yes").className = `button ${isGrave ? "danger" : "primary"}`;
    dialog.returnValue = "";
    dialog.addEventListener("close", () => dialog.returnValue === "yes" && then(), { once: true });
    dialog.showModal();
  }

  document.addEventListener("submit", (event) => {
    const form = event.target, submitter = event.submitter;
    const asked = submitter?.dataset.confirm ? submitter : form;
    if (!asked.dataset.confirm || form.dataset.confirmed) return delete form.dataset.confirmed;
    event.preventDefault();
    event.stopImmediatePropagation();
    const isGrave = !!(submitter || form.querySelector("button"))?.classList.contains("danger");
    ask(asked.dataset.confirm, asked.dataset.confirmLabel, isGrave, () => {
      form.dataset.confirmed = "yes";
      form.requestSubmit(submitter);
    });
  }, true);

  document.addEventListener("htmx:confirm", (event) => {
    if (!event.detail.question) return;
    event.preventDefault();
    const element = event.detail.elt;
    ask(event.detail.question, element.dataset.confirmLabel, element.classList.contains("danger"), () => event.detail.issueRequest(true));
  });

  // Enter on a tick box would press the form's first button: in a list to act on, that sends.
  document.addEventListener("keydown", (event) => event.key === "Enter" && event.target.matches("input[type=checkbox]") && event.preventDefault());

  document.addEventListener("change", (event) => event.target.matches("[data-submit]") && event.target.form.requestSubmit());

  // --- clicks -------------------------------------------------------------------------------------------------------------
  document.addEventListener("click", async (event) => {
    const dismiss = event.target.closest("[data-dismiss]");
    if (dismiss) return dismiss.parentElement.remove();
    const copy = event.target.closest("[data-copy]");
    if (copy) return copyFrom(copy);
    for (const open of document.querySelectorAll(".side details[open]")) if (!open.contains(event.target)) open.open = false;
  });

  async function copyFrom(button) {
    const input = button.parentElement.querySelector("input, textarea");
    input.select();
    try { await navigator.clipboard.writeText(input.value); } catch { document.execCommand("copy"); }
    const words = button.querySelector("span"), before = words.textContent;
    words.textContent = "Copied";
    setTimeout(() => { words.textContent = before; }, 2000);
  }

  // --- htmx: nothing is polled by a tab nobody sees (data-live); errors are said; the keyboard keeps its place -----------
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.elt.hasAttribute("data-live")) event.preventDefault();
  });

  function notice(html, isPolled) {
    const place = document.getElementById("notices");
    const made = document.createRange().createContextualFragment(html).firstElementChild;
    if (!made) return;
    if (isPolled) made.dataset.polled = "yes";
    place.querySelectorAll(isPolled ? "[data-polled]" : ".flash:not([data-polled])").forEach((old) => old.remove());
    place.append(made);
  }

  function failed(event) {
    const polled = event.detail.elt?.hasAttribute("data-live");
    const text = event.detail.xhr?.responseText || "";
    const own = text.startsWith('<div class="flash');
    notice(own ? text : '<div class="flash danger"><p>Frontdesk does not answer just now. What you typed is still here.</p></div>', polled);
  }
  for (const kind of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) document.addEventListener(kind, failed);

  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) document.querySelectorAll("#notices [data-polled]").forEach((old) => old.remove());
  });

  let focused = "";
  document.addEventListener("htmx:beforeSwap", () => { focused = document.activeElement?.id || ""; });
  document.addEventListener("htmx:afterSettle", (event) => {
    const target = event.detail.target || event.target;
    showTimes(target.parentElement || document);
    const wanted = target.querySelector?.("[data-focus], [aria-invalid]");
    if (wanted) wanted.focus();
    else if (document.activeElement === document.body && focused) document.getElementById(focused)?.focus();
  });

  document.querySelector("[data-focus], main [aria-invalid]")?.focus();
})();
