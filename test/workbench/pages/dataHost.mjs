// The process that reads a dataset, in the place of the host of its page: the page asks, and gets
// the answers of src/inspect/dataset.
import { build } from 'esbuild';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../../..');
const require = createRequire(import.meta.url);

async function loadAnswers() {
  const contents =
    'export { answerData } from "./src/inspect/dataset/answer"; export { ROW_SETTINGS } from "./src/data/rows/settings";';
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root, loader: 'ts' },
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    absWorkingDir: root,
    mainFields: ['module', 'main'],
    logLevel: 'warning',
  });
  const module = { exports: {} };
  new Function('module', 'exports', 'require', outputFiles[0].text)(
    module,
    module.exports,
    require,
  );
  return module.exports;
}

const POLL_MS = 30;

/** What the host does with the messages of a page. */
function answersTo({ ask, send, state, progress }, base) {
  const open = async (row) => {
    const detail = row === null ? null : await ask('dataRow', { row });
    await send({ kind: 'detail', detail });
    for (const { image } of detail?.turns.flatMap(({ images = [] }) => images) ?? []) {
      const thumbnail = await ask('dataThumbnail', { row, image }).catch(({ message }) => ({
        fault: message,
      }));
      await send({ kind: 'thumbnail', row, image, thumbnail });
    }
  };
  const work = async (own) => {
    await ask('dataStart', { work: own });
    await progress();
  };
  return {
    rows: async ({ view, from, count }) => {
      const answer = await ask('dataRows', { view, from, count, measure: base !== undefined });
      await send({ kind: 'rows', ...answer });
    },
    open: ({ row }) => open(row),
    find: ({ wanted }) => work({ job: 'find', wanted }),
    start: ({ job }) => work({ job }),
    exclude: async ({ row, isExcluded }) => {
      await ask('dataExclude', { rows: [row], isExcluded });
      state.undo++;
      await open(row);
      await progress();
    },
    edit: async ({ row, hash, fields, raw }) => {
      const planned = await ask('dataPlanEdit', { row, hash, fields, raw });
      await ask('dataWrite', { row, ...planned, isWritten: false });
      state.undo++;
      await send({ kind: 'saved' });
      await open(row);
      await progress();
    },
  };
}

const said = ({ kind, error }) => ({
  kind: 'said',
  message: error?.message ?? 'done',
  isError: kind === 'failed',
});

/** Tells the page how far jobs are, until there are none. */
const progressOf = (ask, send, state) =>
  async function progress() {
    const { ends, ...own } = await ask('dataProgress');
    await send({ kind: 'progress', ...own, undo: state.undo });
    for (const end of ends) await send(said(end));
    if (own.jobs.length > 0) {
      setTimeout(() => void progress().catch(() => undefined), POLL_MS);
      return;
    }
    const statistics = await ask('dataStatistics');
    if (statistics) await send({ kind: 'statistics', statistics });
  };

/** Passes what the page sends to `receive`. */
async function connect(page, receive) {
  await page.exposeFunction('hostAnswers', receive);
  await page.evaluate(() => {
    const { push } = window.sent;
    window.sent.push = (message) => {
      void window.hostAnswers(message);
      return push.call(window.sent, message);
    };
  });
}

/** Connects a page with a dataset; `base`: a model whose tokens are counted. */
async function serve(
  { answerData, ROW_SETTINGS },
  page,
  file,
  { base, maxLength = 1024, readOnly = null } = {},
) {
  const ask = (kind, asked = {}) => answerData({ kind, asked: { ...asked, file } });
  const send = (message) => page.evaluate((value) => window.postMessage(value, '*'), message);
  const state = { undo: 0 };
  const progress = progressOf(ask, send, state);
  const answers = answersTo({ ask, send, state, progress }, base);
  await connect(page, async (message) => {
    try {
      await answers[message.kind]?.(message);
    } catch (error) {
      await send({ kind: 'said', message: error.message, isError: true });
    }
  });
  const facts = await ask('dataOpen', { settings: ROW_SETTINGS });
  const used = base && (await ask('dataBase', { base, maxLength, labels: 'assistant' }));
  await send({
    kind: 'dataset',
    name: path.basename(file),
    ...facts,
    readOnly,
    base: used ? used.name : null,
    recipe: null,
    maxLength: used ? used.limit : null,
    validation: null,
    canDraft: true,
  });
  await progress();
  return { ask, send };
}

/** A host for pages: `serve` connects one with a dataset. */
export async function startDataHost() {
  const source = await loadAnswers();
  const folder = await mkdtemp(path.join(tmpdir(), 'lora-data-page-'));
  return {
    serve: (page, file, options) => serve(source, page, file, options),
    folder,
    async file(name, content) {
      const file = path.join(folder, name);
      await writeFile(file, content);
      return file;
    },
    close: () => rm(folder, { recursive: true, force: true }),
  };
}
