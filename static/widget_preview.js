// The desk's page of a web chat: what is typed there is seen in the preview, which is the chat's own script.
"use strict";
document.addEventListener("htmx:afterSettle", (event) => {
  const look = document.getElementById("look"), preview = document.getElementById("chat-preview");
  if (!look || event.detail.elt.id !== "look" || preview.dataset.look === look.dataset.look) return;
  preview.dataset.look = look.dataset.look;
  preview.dispatchEvent(new Event("frontdesk:look"));
});
