// Without this, the page says the same. It copies a line, and sends a body to the service that the page came from.
const quoted = (text) => `'${text.replaceAll("'", `'"'"'`)}'`;

for (const each of document.querySelectorAll("[hidden]")) each.hidden = false;

for (const form of document.querySelectorAll("form")) {
  const [body, line, answer, said] = ["textarea", ".line", "output", "[role=status]"].map((each) => form.querySelector(each));
  const url = new URL(form.dataset.route, location.href);

  // Where it is asked is known here better than behind proxies.
  line.querySelector("[data-url]").textContent = quoted(url.href);
  body.addEventListener("input", () => { line.querySelector("[data-body]").textContent = quoted(body.value); });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.textContent = "asking …";
    try {
      const headers = {"content-type": "application/json"};
      const got = await fetch(url, {method: "POST", headers, body: body.value});
      answer.textContent = `${got.status} ${got.statusText}\n${indented(await got.text())}`;
    } catch (error) {
      answer.textContent = `no answer: ${error.message}`;
    }
  });

  form.querySelector("[type=button]").addEventListener("click", () => {
    getSelection().selectAllChildren(line);
    // The newer way is refused where the page did not come by HTTPS.
    said.textContent = document.execCommand("copy") ? "copied" : "copy what is selected";
  });
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
