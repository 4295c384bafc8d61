"use strict";
// Asks the authenticator for what the page is about and sends the answer with the page's own form. A page that waits for an answer is
// loaded anew when somebody comes back to it. Nothing else.
(() => {
  if (document.querySelector("a[data-look-again]"))
    document.addEventListener("visibilitychange", () => { if (!document.hidden) location.reload(); });
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const form = document.querySelector("form[data-passkey]");
  if (!form) return;
  const note = document.getElementById("passkey-note");
  const buttons = [...form.querySelectorAll("button[data-choice]")];
  const say = (words) => { note.textContent = words; };
  const rest = (resting) => buttons.forEach((button) => { button.disabled = resting; });

  const created = async (asked) => {
    const { response } = await navigator.credentials.create({ publicKey: {
      challenge: bytes(asked.challenge),
      rp: { id: asked.rpId, name: "Tocsin" },
      user: { id: bytes(asked.user.id), name: asked.user.name, displayName: asked.user.name },
      pubKeyCredParams: asked.algorithms.map((alg) => ({ type: "public-key", alg })),
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
      attestation: "none",
      timeout: asked.timeout,
    } });
    return {
      clientDataJSON: text(response.clientDataJSON),
      authenticatorData: text(response.getAuthenticatorData()),
      publicKey: text(response.getPublicKey()),
    };
  };
  const answered = async (asked) => {
    const { id, response } = await navigator.credentials.get({ publicKey: {
      challenge: bytes(asked.challenge),
      rpId: asked.rpId,
      userVerification: "required",
      timeout: asked.timeout,
    } });
    return {
      id,
      clientDataJSON: text(response.clientDataJSON),
      authenticatorData: text(response.authenticatorData),
      signature: text(response.signature),
    };
  };

  const press = async (choice) => {
    rest(true);
    say("Your device asks you now.");
    try {
      form.elements.choice.value = choice;
      const path = new URL(form.action).pathname;
      const asked = await fetch(path + "/passkey", { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (!asked.ok) throw new Error("The page is out of date: load it again.");
      const options = await asked.json();
      form.elements.passkey.value = JSON.stringify(await (options.user ? created : answered)(options));
      form.submit();
    } catch (error) {
      rest(false);
      say(error.name === "NotAllowedError" ? "Your device did not confirm it. Nothing was sent." : error.message);
    }
  };
  for (const button of buttons) button.addEventListener("click", () => press(button.dataset.choice));
  if (!window.PublicKeyCredential) return;
  form.hidden = false;
  const other = document.querySelector("details.other");
  if (other && !("keep" in other.dataset)) other.open = false;
})();
