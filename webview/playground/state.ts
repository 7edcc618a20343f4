import {
  asPlaygroundPageState,
  type PlaygroundHostMessage,
  type PlaygroundPageMessage,
  type PlaygroundPageState,
  type PlaygroundServerState,
} from '../../src/shared/pages/playground/protocol';
import type { PlaygroundStringKey } from '../../src/shared/pages/playground/strings';
import type { RowQuestion } from '../../src/shared/serveProtocol';
import type { Page } from '../shared/page';
import { emptyColumn, isBusy, withMessage, type AnswerColumn } from './model/columns';

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
  if (message.kind !== 'state') return { ...state, columns: withMessage(state.columns, message) };
  return {
    ...state,
    server: message,
    columns: columnsFor(state, message),
    kept: keptFor(state.kept, message),
  };
}

/** A row that replaces the prompt also removes the answers to the one before. */
function withRow(state: PlaygroundState, row: RowQuestion): PlaygroundState {
  const next = { ...state, row, rowFault: '', rowWanted: null };
  const replaces = state.rowWanted?.replaces ?? 'none';
  const isWritten = state.kept.settings.prompt !== '';
  if (replaces === 'none' || (replaces === 'empty' && isWritten)) return next;
  const { prompt, system, index } = row;
  const settings = { ...state.kept.settings, prompt, system, row: index, chat: true };
  return {
    ...next,
    kept: { ...state.kept, settings },
    columns: state.columns.map(({ adapter, name }) => emptyColumn(adapter, name)),
  };
}

/** The row whose question is asked as it was trained; null if the page asks something else. */
export function askedRow({ row, kept: { settings } }: PlaygroundState): RowQuestion | null {
  const isAsked =
    row !== null &&
    settings.row === row.index &&
    settings.prompt === row.prompt &&
    settings.system === row.system;
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
  const { row, rowWanted, rowFault, kept } = page.state;
  const isReady = message.kind === 'state' && message.phase.kind === 'ready' && message.rows;
  if (!isReady || row || rowWanted || rowFault !== '') return;
  const { settings } = kept;
  if (settings.row !== null) wantRow(page, { index: settings.row, replaces: 'none' });
  else if (settings.prompt === '') wantRow(page, { index: 0, replaces: 'empty' });
}

/** Answers stay beside the adapters that gave them. */
function columnsFor(state: PlaygroundState, server: PlaygroundServerState): AnswerColumn[] {
  const pathOf = ({ adapter }: AnswerColumn) =>
    adapter === null ? '' : (state.server?.adapters[adapter]?.path ?? '');
  const before = new Map(state.columns.map((column) => [pathOf(column), column]));
  const restarted = server.phase.kind === 'loading' && state.server?.phase.kind !== 'loading';
  const columnFor = (path: string, adapter: number | null, name: string) => {
    const known = before.get(path);
    return known && !(restarted && isBusy(known))
      ? { ...known, adapter, name }
      : emptyColumn(adapter, name);
  };
  return [
    columnFor('', null, state.baseName),
    ...server.adapters.map(({ path, name }, i) => columnFor(path, i, name)),
  ];
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

/** Sends the prompt to all columns, or to that of one adapter (null: the base model). */
export function ask(page: PlaygroundPage, only?: number | null): void {
  const { state, post, change } = page;
  const { server, kept } = state;
  if (server?.phase.kind !== 'ready' || kept.settings.prompt.trim() === '') return;
  const isMeant = ({ adapter }: AnswerColumn) => only === undefined || adapter === only;
  stopColumns(page, state.columns.filter(isMeant));
  const asked = state.asked + 1;
  const columns = state.columns.map((column): AnswerColumn => {
    if (!isMeant(column)) return column;
    const id = `${asked}-${column.adapter ?? 'base'}`;
    return { ...column, id, text: '', state: { kind: 'waiting' } };
  });
  const settings = {
    ...kept.settings,
    chat: kept.settings.chat && server.phase.has_chat_template,
  };
  post({
    kind: 'ask',
    settings,
    columns: columns.filter(isMeant).map(({ id, adapter }) => ({
      id: id!,
      adapter,
      scale: adapter === null ? 1 : adapterScale(state, adapter),
    })),
  });
  const others = server.prompts.filter((prompt) => prompt !== settings.prompt);
  change({ asked, columns, server: { ...server, prompts: [settings.prompt, ...others] } });
}

/** Stops those of the columns that are being answered. */
export function stopColumns({ post }: PlaygroundPage, columns: readonly AnswerColumn[]): void {
  const ids = columns.filter(isBusy).map(({ id }) => id!);
  if (ids.length > 0) post({ kind: 'stop', ids });
}
