// Takes the code out of the link's fragment, which never reaches the server's logs, into the form.
const field = document.querySelector("input[data-link-code]");
const code = window.location.hash.slice(1);

if (field && code) {
  field.value = code;
  window.history.replaceState(null, "", window.location.pathname);
}
