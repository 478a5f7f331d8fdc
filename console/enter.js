// Moves the one-time ticket from the address into the form, and out of the address and the history.
"use strict";
const ticket = location.hash.slice(1);
if (ticket !== "") {
  history.replaceState(null, "", location.pathname);
  document.getElementById("ticket").value = ticket;
  document.getElementById("by-hand").hidden = true;
  document.querySelector("main button").focus();
}
