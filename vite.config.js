// Builds static/src into static/dist: one hashed file per entry, .vite/manifest.json for the template tags,
// icons.json with the icons that templates and views name, and a .gz beside every text file.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { constants, gzipSync } from "node:zlib";
import { defineConfig } from "vite";

const root = dirname(fileURLToPath(import.meta.url));
const source = join(root, "static/src");
const output = join(root, "static/dist");
const iconFolder = join(root, "node_modules/@tabler/icons/icons");

const languages = ["en", "zh-hans"];
const words = languages.flatMap((language) => [`words/${language}`, `words/tools.${language}`]);
const entries = ["app", "theme", "chart", "upload", "label", "builder", "chat", ...words];

/** Every file below a folder whose name ends in one of the extensions, in a stable order. */
function filesBelow(folder, extensions) {
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!["__pycache__", "migrations", "locale"].includes(entry.name)) found.push(...filesBelow(path, extensions));
    } else if (extensions.includes(extname(entry.name))) {
      found.push(path);
    }
  }
  return found;
}

/** Names in {% icon "x" %} and icon="x" (templates and Python), and those listed in static/src/icons.json. */
function usedIconNames() {
  const names = new Set(JSON.parse(readFileSync(join(source, "icons.json"), "utf8")));
  const patterns = [/\{%\s*icon\s+["']([a-z0-9-]+)["']/g, /\bicon\s*=\s*["']([a-z0-9-]+)["']/g];
  const files = [...filesBelow(join(root, "templates"), [".html"]), ...filesBelow(join(root, "webapp"), [".py"])];
  for (const file of files) {
    const text = readFileSync(file, "utf8");
    for (const pattern of patterns) for (const match of text.matchAll(pattern)) names.add(match[1]);
  }
  return [...names].sort();
}

/** The drawing inside an icon's <svg>; a name may end in -filled. */
function iconBody(name) {
  const [folder, file] = name.endsWith("-filled") ? ["filled", name.slice(0, -7)] : ["outline", name];
  const svg = readFileSync(join(iconFolder, folder, `${file}.svg`), "utf8");
  return svg
    .slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>"))
    .replace(/<path stroke="none" d="M0 0h24v24H0z" fill="none"\s*\/>/, "")
    .replace(/\s*\n\s*/g, "")
    .replace(/\s+\/>/g, "/>");
}

/** import drawing from "icon:home" in modules; icons.json for templates. */
function icons() {
  return {
    name: "shuyuan-icons",
    resolveId(id) {
      return id.startsWith("icon:") ? `\0${id}` : null;
    },
    load(id) {
      return id.startsWith("\0icon:") ? `export default ${JSON.stringify(iconBody(id.slice(6)))};` : null;
    },
    generateBundle() {
      const bodies = {};
      for (const name of usedIconNames()) {
        try {
          bodies[name] = iconBody(name);
        } catch {
          this.warn(`There is no Tabler icon named "${name}".`);
        }
      }
      this.emitFile({ type: "asset", fileName: "icons.json", source: JSON.stringify(bodies, null, 1) });
      this.emitFile({ type: "asset", fileName: "favicon.svg", source: readFileSync(join(source, "favicon.svg")) });
    },
  };
}

/** Packages set inline styles in ways that our content security policy refuses; here they set them in ways it allows. */
const policyChanges = [
  {
    // Svelte writes style attributes; the same text through the CSSOM is allowed.
    file: "@annotorious/annotorious/dist/annotorious.es.js",
    before: "e.getAttribute(t) !== n && e.setAttribute(t, n);",
    after: 't === "style" ? e.style.cssText !== n && (e.style.cssText = n) : e.getAttribute(t) !== n && e.setAttribute(t, n);',
  },
];

function allowedStyles() {
  return {
    name: "shuyuan-allowed-styles",
    transform(code, id) {
      const change = policyChanges.find(({ file }) => id.replaceAll("\\", "/").endsWith(file));
      if (!change) return null;
      if (!code.includes(change.before)) throw new Error(`${change.file} has changed: look at policyChanges in vite.config.js.`);
      return { code: code.replace(change.before, change.after), map: null };
    },
  };
}

function precompress() {
  return {
    name: "shuyuan-gzip",
    apply: "build",
    enforce: "post",
    closeBundle() {
      for (const path of filesBelow(output, [".js", ".css", ".svg", ".json"])) {
        if (statSync(path).size < 1024) continue;
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: constants.Z_BEST_COMPRESSION }));
      }
    },
  };
}

export default defineConfig({
  root: source,
  base: "./",
  publicDir: false,
  plugins: [icons(), allowedStyles(), precompress()],
  build: {
    outDir: output,
    emptyOutDir: true,
    manifest: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1600,
    rolldownOptions: {
      input: Object.fromEntries(entries.map((name) => [name.replace("/", "-"), resolve(source, `${name}.js`)])),
      output: {
        entryFileNames: "[name]-[hash].js",
        chunkFileNames: "[name]-[hash].js",
        assetFileNames: "[name]-[hash][extname]",
      },
    },
  },
});
