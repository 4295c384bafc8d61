// Drives Chromium for a test: one command a line on standard input, as JSON, and one answer a line.
//
// Each tab has an authenticator of its own, which verifies its holder unless told otherwise; `keys` copies credentials to another tab.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(join(process.argv[2], "node_modules", "x.js"));
const puppeteer = require("puppeteer-core");
const axe = readFileSync(join(dirname(require.resolve("axe-core")), "axe.min.js"), "utf8");

const browser = await puppeteer.launch({
  executablePath: process.argv[3],
  userDataDir: process.argv[4],
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"],
});
const tabs = new Map();

const tab = async (name) => {
  if (tabs.has(name)) return tabs.get(name);
  const page = await browser.newPage();
  page.setDefaultTimeout(120_000);
  const client = await page.createCDPSession();
  await client.send("WebAuthn.enable");
  const { authenticatorId } = await client.send("WebAuthn.addVirtualAuthenticator", { options: {
    protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true,
    isUserVerified: true, automaticPresenceSimulation: true,
  } });
  const opened = { page, client, authenticatorId };
  tabs.set(name, opened);
  return opened;
};

const commands = {
  async open({ page }, { url, width = 1000, height = 900, script = true }) {
    await page.setJavaScriptEnabled(script);
    await page.setViewport({ width, height });
    const response = await page.goto(url, { waitUntil: "load" });
    return { status: response.status(), title: await page.title() };
  },
  // By keyboard, which also works where the page may run no script.
  async fill({ page }, { selector, text }) {
    await page.bringToFront();
    await page.$eval(selector, (field) => field.focus());
    await page.keyboard.type(text);
    return {};
  },
  // Presses a button by keyboard and waits for the page that follows.
  async press({ page }, { selector }) {
    await page.bringToFront();
    await page.$eval(selector, (button) => button.focus());
    const [response] = await Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.keyboard.press("Enter")]);
    return { status: response.status(), title: await page.title() };
  },
  async click({ page }, { selector, count = 1 }) {
    // Authenticators answer the tab that people look at.
    await page.bringToFront();
    const element = await page.waitForSelector(selector, { visible: true });
    await element.click({ count });
    return {};
  },
  async front({ page }) {
    await page.bringToFront();
    return {};
  },
  async wait({ page }, { code }) {
    await page.waitForFunction(code);
    return {};
  },
  async eval({ page }, { code }) {
    return { value: await page.evaluate(code) };
  },
  async verified({ client, authenticatorId }, { is }) {
    await client.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: is });
    return {};
  },
  async keys({ client, authenticatorId }, { from }) {
    const other = await tab(from);
    const { credentials } = await other.client.send("WebAuthn.getCredentials", { authenticatorId: other.authenticatorId });
    for (const credential of credentials) await client.send("WebAuthn.addCredential", { authenticatorId, credential });
    return { credentials: credentials.length };
  },
  async axe({ page }) {
    await page.evaluate(axe);
    const found = [];
    for (const value of ["dark", "light"]) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]);
      const { violations } = await page.evaluate(() => axe.run());
      found.push(...violations.map(({ id, nodes }) => `${value}, ${id}: ${nodes.map((node) => node.html).join(" ")}`));
    }
    return { violations: found };
  },
  async screenshot({ page }, { path, dark = false }) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
    // A little smaller than life, so that it is a small file.
    await page.setViewport({ ...page.viewport(), deviceScaleFactor: 0.8 });
    await page.screenshot({ path, fullPage: true });
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { op, tab: name = "one", ...rest } = JSON.parse(line);
  try {
    process.stdout.write(JSON.stringify(await commands[op](await tab(name), rest)) + "\n");
  } catch (error) {
    process.stdout.write(JSON.stringify({ error: String(error) }) + "\n");
  }
}
await browser.close();
