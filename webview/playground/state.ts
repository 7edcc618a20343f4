import {
  asPlaygroundPageState,
  type PlaygroundHostMessage,
  type PlaygroundPageMessage,
  type PlaygroundPageState,
  type PlaygroundServerState,
} from '../../src/shared/pages/playground/protocol';
import type { PlaygroundStringKey } from '../../src/shared/pages/playground/strings';
import type { ShownThumbnail } from '../../src/shared/pages/thumbnail';
import {
  MOST_PROMPT_IMAGES,
  type AnswerSettings,
  type AskedTurn,
  type RowQuestion,
} from '../../src/shared/serveProtocol';
import type { Page } from '../shared/page';
import {
  emptyColumn,
  exampleOf,
  isBusy,
  turnsAfter,
  withMessage,
  worseThan,
  type AnswerColumn,
} from './model/columns';

export interface PlaygroundState {
  /** What answers and how far it is loaded; null before the host's first message. */
  readonly server: PlaygroundServerState | null;
  readonly columns: readonly AnswerColumn[];
  /** Settings and scales, which VS Code keeps. */
  readonly kept: PlaygroundPageState;
  /** The row of the run that was asked for last; null without one. */
  readonly row: RowQuestion | null;
  /** Why there is no row; empty without a reason. */
  readonly rowFault: string;
  /** The row that the host is asked for, and which prompt it replaces. */
  readonly rowWanted: {
    readonly index: number;
    readonly replaces: 'any' | 'empty' | 'none';
  } | null;
  /** The adapter that has a second answer, by its path ('': the base model); null: none has. */
  readonly second: string | null;
  /** The rows that were appended last; null before. */
  readonly appended: { readonly rows: number; readonly file: string } | null;
  /** Thumbnails of images by their paths; null while one is made. */
  readonly thumbnails: ReadonlyMap<string, ShownThumbnail | null>;
  /** Why images were not attached, and what that is about; null: nothing is wrong. */
  readonly imageFault: {
    readonly key: 'images.most' | 'images.large' | 'images.other';
    readonly value: string;
  } | null;
  /** Number of requests so far. */
  readonly asked: number;
  /** Name of the base model's column. */
  readonly baseName: string;
}

export type PlaygroundPage = Page<PlaygroundState, PlaygroundPageMessage, PlaygroundStringKey>;

export function initialPlayground(kept: unknown, base: string, baseName: string): PlaygroundState {
  const stored = asPlaygroundPageState(kept);
  const fresh = asPlaygroundPageState({ base, adapters: [] })!;
  return {
    server: null,
    columns: [],
    row: null,
    rowFault: '',
    rowWanted: null,
    second: null,
    appended: null,
    thumbnails: new Map(),
    imageFault: null,
    kept: stored?.base === base ? stored : fresh,
    asked: 0,
    baseName,
  };
}

export function reducePlayground(
  state: PlaygroundState,
  message: PlaygroundHostMessage,
): PlaygroundState {
  if (message.kind === 'row') return withRow(state, message.row);
  if (message.kind === 'rowFailed')
    return { ...state, rowFault: message.message, rowWanted: null, row: null };
  if (message.kind === 'tools') return withTools(state, message.tools);
  if (message.kind === 'appended') return { ...state, appended: message };
  if (message.kind === 'attached') return withImages(state, message.images);
  if (message.kind === 'thumbnail') {
    const { image, thumbnail } = message;
    return { ...state, thumbnails: new Map([...state.thumbnails, [image, thumbnail]]) };
  }
  if (message.kind !== 'state') return { ...state, columns: withMessage(state.columns, message) };
  return withServer(state, message);
}

const withTools = (state: PlaygroundState, tools: string): PlaygroundState => ({
  ...state,
  kept: { ...state.kept, settings: { ...state.kept.settings, tools } },
});

/** Attached images stand behind those that are there already. */
function withImages(state: PlaygroundState, images: readonly string[]): PlaygroundState {
  const { settings } = state.kept;
  const all = [...new Set([...settings.images, ...images])];
  if (all.length > MOST_PROMPT_IMAGES)
    return { ...state, imageFault: { key: 'images.most', value: String(MOST_PROMPT_IMAGES) } };
  return {
    ...state,
    imageFault: null,
    kept: { ...state.kept, settings: { ...settings, images: all } },
  };
}

/** The tools of the run's recipe stand in the field until it is changed. */
function withServer(state: PlaygroundState, message: PlaygroundServerState): PlaygroundState {
  const isUntouched = state.kept.settings.tools === null && message.tools !== '';
  const { kept } = isUntouched ? withTools(state, message.tools) : state;
  return {
    ...state,
    server: message,
    columns: columnsFor(state, message),
    kept: keptFor(kept, message),
  };
}

/** A row that replaces the prompt also removes the answers to the one before. */
function withRow(state: PlaygroundState, row: RowQuestion): PlaygroundState {
  const next = { ...state, row, rowFault: '', rowWanted: null };
  const replaces = state.rowWanted?.replaces ?? 'none';
  const isWritten = state.kept.settings.prompt !== '';
  if (replaces === 'none' || (replaces === 'empty' && isWritten)) return next;
  const { prompt, system, index, tools, images } = row;
  const own = { prompt, system, tools, images, row: index, chat: true };
  const settings = { ...state.kept.settings, ...own };
  return {
    ...next,
    kept: { ...state.kept, settings },
    columns: state.columns.map(({ adapter, name, sample }) => emptyColumn(adapter, name, sample)),
  };
}

/** The row whose question is asked as it was trained; null if the page asks something else. */
export function askedRow({ row, kept: { settings } }: PlaygroundState): RowQuestion | null {
  const isAsked =
    row !== null &&
    settings.row === row.index &&
    settings.prompt === row.prompt &&
    settings.system === row.system &&
    (settings.tools ?? '') === row.tools &&
    settings.images.join('\n') === row.images.join('\n');
  return isAsked ? row : null;
}

/** Asks the host for a row, which then replaces the prompt. */
export function showRow(page: PlaygroundPage, index: number): void {
  stopColumns(page, page.state.columns);
  wantRow(page, { index, replaces: 'any' });
}

function wantRow(
  { post, change }: PlaygroundPage,
  rowWanted: NonNullable<PlaygroundState['rowWanted']>,
): void {
  change({ rowWanted });
  post({ kind: 'row', index: rowWanted.index });
}

/** When the model is ready: the first row, or the one that was shown before. */
export function afterMessage(message: PlaygroundHostMessage, page: PlaygroundPage): void {
  askThumbnails(page);
  const { row, rowWanted, rowFault, kept } = page.state;
  const isReady = message.kind === 'state' && message.phase.kind === 'ready' && message.rows;
  if (!isReady || row || rowWanted || rowFault !== '') return;
  const { settings } = kept;
  if (settings.row !== null) wantRow(page, { index: settings.row, replaces: 'none' });
  else if (settings.prompt === '') wantRow(page, { index: 0, replaces: 'empty' });
}

/** Asks for the thumbnails of images that have none yet. */
function askThumbnails({ state, post, change }: PlaygroundPage): void {
  const images = state.kept.settings.images.filter((image) => !state.thumbnails.has(image));
  if (!state.server || images.length === 0) return;
  const waiting = images.map((image) => [image, null] as const);
  change({ thumbnails: new Map([...state.thumbnails, ...waiting]) });
  post({ kind: 'thumbnails', images });
}

/** Answers stay beside the adapters that gave them. */
function columnsFor(state: PlaygroundState, server: PlaygroundServerState): AnswerColumn[] {
  const keyOf = ({ adapter, sample }: AnswerColumn) => `${sample} ${pathOf(state.server, adapter)}`;
  const before = new Map(state.columns.map((column) => [keyOf(column), column]));
  const restarted = server.phase.kind === 'loading' && state.server?.phase.kind !== 'loading';
  const columnFor = (adapter: number | null, name: string, sample: 0 | 1) => {
    const known = before.get(`${sample} ${pathOf(server, adapter)}`);
    return known && !(restarted && isBusy(known))
      ? { ...known, adapter, name }
      : emptyColumn(adapter, name, sample);
  };
  const models = [
    { adapter: null, name: state.baseName },
    ...server.adapters.map(({ name }, adapter) => ({ adapter, name })),
  ];
  return models.flatMap(({ adapter, name }) => [
    columnFor(adapter, name, 0),
    ...(state.second === pathOf(server, adapter) ? [columnFor(adapter, name, 1)] : []),
  ]);
}

/** The path of an adapter; '' for the base model. */
const pathOf = (server: PlaygroundServerState | null, adapter: number | null): string =>
  adapter === null ? '' : (server?.adapters[adapter]?.path ?? '');

/** Shows a second answer of a column's model, or hides it. */
export function toggleSecond(page: PlaygroundPage, { adapter, name, sample }: AnswerColumn): void {
  const { state, change } = page;
  const path = pathOf(state.server, adapter);
  const others = state.columns.filter((column) => column.sample === 0);
  stopColumns(
    page,
    state.columns.filter((column) => column.sample === 1),
  );
  if (sample === 1 || state.second === path) {
    change({ second: null, columns: others });
    return;
  }
  const at = others.findIndex((column) => column.adapter === adapter) + 1;
  change({ second: path, columns: others.toSpliced(at, 0, emptyColumn(adapter, name, 1)) });
  ask(page, (column) => column.adapter === adapter && column.sample === 1);
}

/** Scales stay with their adapters. */
function keptFor(kept: PlaygroundPageState, server: PlaygroundServerState): PlaygroundPageState {
  const scales = new Map(kept.adapters.map((path, i) => [path, kept.scales[i] ?? 1]));
  const adapters = server.adapters.map(({ path }) => path);
  return { ...kept, adapters, scales: adapters.map((path) => scales.get(path) ?? 1) };
}

/** How many times the update of an adapter is added. */
export const adapterScale = ({ kept }: PlaygroundState, adapter: number): number =>
  kept.scales[adapter] ?? 1;

/** Changes what VS Code keeps. */
export function keep({ state, change }: PlaygroundPage, kept: Partial<PlaygroundPageState>): void {
  if (state.server) change({ kept: { ...state.kept, ...kept } });
}

/** Sends the prompt to the columns that are meant; by default to all. */
export function ask(
  page: PlaygroundPage,
  isMeant: (column: AnswerColumn) => boolean = () => true,
): void {
  const { state, change } = page;
  const { server, kept } = state;
  if (server?.phase.kind !== 'ready' || kept.settings.prompt.trim() === '') return;
  if (kept.settings.images.length > 0 && !kept.settings.chat) return;
  const settings = {
    ...kept.settings,
    chat: kept.settings.chat && server.phase.has_chat_template,
  };
  send(page, settings, (column) => (isMeant(column) ? [] : null));
  const others = server.prompts.filter((prompt) => prompt !== settings.prompt);
  change({ server: { ...server, prompts: [settings.prompt, ...others] } });
}

/** Sends the results of the calls of an answer, which then continues. */
export function goOn(page: PlaygroundPage, { id }: AnswerColumn): void {
  const column = page.state.columns.find((own) => own.id === id);
  const turns = column && turnsAfter(column);
  if (!column?.asked || !turns || page.state.server?.phase.kind !== 'ready') return;
  send(page, column.asked, (own) => (own === column ? turns : null));
}

/** @param turnsOf What was said since the prompt, in columns that are asked; null in others. */
function send(
  page: PlaygroundPage,
  settings: AnswerSettings,
  turnsOf: (column: AnswerColumn) => readonly AskedTurn[] | null,
): void {
  const { state, post, change } = page;
  stopColumns(
    page,
    state.columns.filter((column) => turnsOf(column) !== null),
  );
  const asked = state.asked + 1;
  const columns = state.columns.map((column): AnswerColumn => {
    const turns = turnsOf(column);
    if (!turns) return column;
    const { adapter, name, sample } = column;
    const id = `${asked}-${adapter ?? 'base'}-${sample}`;
    const empty = emptyColumn(adapter, name, sample);
    return { ...empty, id, asked: settings, turns, state: { kind: 'waiting' } };
  });
  post({
    kind: 'ask',
    settings,
    columns: columns.flatMap(({ id, adapter, sample, turns }, i) =>
      columns[i] === state.columns[i]
        ? []
        : {
            id: id!,
            adapter,
            scale: adapter === null ? 1 : adapterScale(state, adapter),
            seed: sample === 0 ? null : settings.seed + sample,
            turns: [...turns],
          },
    ),
  });
  change({ asked, columns });
}

/** Keeps what is typed as the result of a call. */
export function setResult(page: PlaygroundPage, id: string | null, at: number, text: string): void {
  const { columns } = page.state;
  page.change({
    columns: columns.map((column) =>
      column.id === id ? { ...column, results: column.results.with(at, text) } : column,
    ),
  });
}

/** Appends an answer to a dataset. */
export function append({ post }: PlaygroundPage, column: AnswerColumn): void {
  post({ kind: 'append', example: exampleOf(column) });
}

/** Appends an answer as better than the others. */
export function prefer({ post, state }: PlaygroundPage, column: AnswerColumn): void {
  const rejected = worseThan(column, state.columns).map(exampleOf);
  post({ kind: 'prefer', chosen: exampleOf(column), rejected });
}

/** Stops those of the columns that are being answered. */
export function stopColumns({ post }: PlaygroundPage, columns: readonly AnswerColumn[]): void {
  const ids = columns.filter(isBusy).map(({ id }) => id!);
  if (ids.length > 0) post({ kind: 'stop', ids });
}
