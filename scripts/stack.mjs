// npm run -s stack [FILE]: maps a stack trace of the released bundles (a file, or standard input)
// to the sources. Uses the source maps in dist/, or in the folder LORA_MAPS: those that are
// attached to the release.
import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');

/** A place in a bundle: `…/dist/webview/dashboard.js:1:2345`. */
const PLACE = /[^\s()]*\bdist[\\/]((?:[\w-]+[\\/])*[\w-]+\.js):(\d+):(\d+)/g;

/** A stack trace with each place in a bundle replaced by the one in its source, where known. */
export function mapStack(text, maps) {
  const loaded = new Map();
  const mapOf = (bundle) => {
    if (!loaded.has(bundle)) loaded.set(bundle, readMap(path.join(maps, `${bundle}.map`)));
    return loaded.get(bundle);
  };
  return text.replace(PLACE, (place, bundle, line, column) => {
    const map = mapOf(bundle.replaceAll('\\', '/'));
    const found = map?.findEntry(Number(line) - 1, Number(column) - 1) ?? {};
    if (found.originalSource === undefined) return place;
    const source = found.originalSource.replace(/^(\.\.\/)+/, '');
    return `${source}:${found.originalLine + 1}:${found.originalColumn + 1}`;
  });
}

function readMap(file) {
  try {
    return new SourceMap(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return undefined; // a bundle of another program, or no maps
  }
}

/** The mapped text of `file` (standard input without one), or why it cannot be mapped. */
function mapTrace(file, maps) {
  let trace;
  try {
    trace = readFileSync(file ?? 0, 'utf8');
  } catch (error) {
    return { text: null, error: `The stack trace cannot be read: ${error.message}` };
  }
  const text = mapStack(trace, maps);
  if (text !== trace) return { text, error: null };
  const fix = 'Set LORA_MAPS to the folder with the source maps of the release.';
  return { text: null, error: `No place of the trace has a source map in ${maps}. ${fix}` };
}

if (process.argv[1] === import.meta.filename) {
  const maps = process.env.LORA_MAPS ?? path.join(root, 'dist');
  const mapped = mapTrace(process.argv[2], maps);
  if (mapped.error !== null) console.error(mapped.error);
  else console.log(mapped.text);
  process.exitCode = mapped.error === null ? 0 : 1;
}
