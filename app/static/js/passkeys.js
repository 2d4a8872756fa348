// Buttons that ask the browser for a passkey; where it has none they stay hidden.
const csrfToken = document.querySelector("meta[name=csrf-token]")?.content;
const isPossible = window.isSecureContext && Boolean(window.PublicKeyCredential && navigator.credentials);

function toBytes(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

function toText(bytes) {
  const plain = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(plain).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function withBytes(options) {
  const read = (one) => ({ ...one, id: toBytes(one.id) });
  const result = { ...options, challenge: toBytes(options.challenge) };
  if (options.user) result.user = read(options.user);
  if (options.excludeCredentials) result.excludeCredentials = options.excludeCredentials.map(read);
  if (options.allowCredentials) result.allowCredentials = options.allowCredentials.map(read);
  return result;
}

function asJson(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = toText(credential.response[name]);
  }
  return JSON.stringify({ id: credential.id, rawId: toText(credential.rawId), type: credential.type, response });
}

// Null when the server has led elsewhere: to a log-in, or to a proof of who is there.
async function fetchOptions(url) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { Accept: "application/json", "X-CSRFToken": csrfToken },
    body: new URLSearchParams({ next: window.location.pathname + window.location.search }),
  });
  if (answer.redirected || answer.status === 401) {
    window.location.assign(answer.redirected ? answer.url : window.location.href);
    return null;
  }
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.message), { said: body.message });
  return withBytes(body);
}

function explain(error, texts) {
  if (error.said) return error.said;
  if (error.name === "InvalidStateError") return texts.known;
  return error.name === "NotAllowedError" || error.name === "AbortError" ? texts.cancelled : texts.failed;
}

async function ask(button) {
  const form = button.form;
  const message = form.querySelector("[data-passkey-error]");
  message.hidden = true;
  if (button.dataset.passkey === "create" && !form.reportValidity()) return;
  button.disabled = true;
  try {
    const options = await fetchOptions(button.dataset.options);
    if (!options) return;
    const credential = await navigator.credentials[button.dataset.passkey]({ publicKey: options });
    form.elements.credential.value = asJson(credential);
    form.requestSubmit();
  } catch (error) {
    message.textContent = explain(error, message.dataset);
    message.hidden = false;
  } finally {
    button.disabled = false;
  }
}

if (isPossible) {
  for (const part of document.querySelectorAll("[data-passkeys]")) part.hidden = false;
  for (const part of document.querySelectorAll("[data-no-passkeys]")) part.hidden = true;
  for (const button of document.querySelectorAll("button[data-passkey]")) {
    button.addEventListener("click", (event) => {
      event.preventDefault();
      ask(button);
    });
  }
}
