import { nothing, render, type TemplateResult } from 'lit-html';
import type * as v from 'valibot';
import { fill } from '../../src/shared/values';
import { checked } from '../../src/shared/parsed';
import { Formatter } from './format';
import { Paced } from './paced';
import type { Page } from './page';

/** Where a page starts from. */
export interface PageStart<Key extends string> {
  readonly strings: Readonly<Record<Key, string>>;
  /** What VS Code kept of the page before it was reloaded. */
  readonly kept: unknown;
  /** What the host put into the page, by its name. */
  readonly fact: (name: string) => string;
}

export interface PageDefinition<State, HostMessage, Message, Key extends string> {
  /** Messages from the host; others are reported to its log. */
  readonly schema: v.GenericSchema<unknown, HostMessage>;
  readonly initial: (start: PageStart<Key>) => State;
  /** The state after a message. */
  readonly reduce: (state: State, message: HostMessage) => State;
  /** Called with the state that `reduce` returned: the place for answers to the host. */
  readonly received?: (message: HostMessage, page: Page<State, Message, Key>) => void;
  /** Called once. The function it returns gives the page's content, or null while it loads. */
  readonly view: (page: Page<State, Message, Key>) => (state: State) => TemplateResult | null;
  /** Called once, after the content is on screen for the first time. */
  readonly shown?: (page: Page<State, Message, Key>) => void;
  /** What VS Code keeps through reloads; it is written when another object is returned. */
  readonly kept?: (state: State) => unknown;
  /** Least time between two drawings after a message, in ms; 0 (each frame) without it. */
  readonly interval?: (message: HostMessage) => number;
}

interface VsCodeApi {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
}
declare function acquireVsCodeApi(): VsCodeApi;

/**
 * Runs a page: it tells its host that it is ready, takes in the host's messages, and draws its
 * state into <main>, at most once a frame.
 */
export function startPage<State extends object, HostMessage, Message, Key extends string>(
  definition: PageDefinition<State, HostMessage, Message, Key>,
): void {
  const vscode = acquireVsCodeApi();
  const strings = JSON.parse(metaContent('strings')) as Readonly<Record<Key | 'none', string>>;
  const trouble = (message: string) => vscode.postMessage({ kind: 'trouble', message });
  reportErrors(trouble);

  let state = definition.initial({ strings, kept: vscode.getState(), fact: metaContent });
  let kept: unknown;
  const keep = () => {
    const wanted = definition.kept?.(state);
    if (wanted !== undefined && wanted !== kept) vscode.setState(wanted);
    kept = wanted;
  };
  const drawing = new Paced(() => draw());
  const become = (next: State, interval = 0) => {
    state = next;
    keep();
    drawing.within(interval);
  };
  const page: Page<State, Message, Key> = {
    format: new Formatter(document.documentElement.lang, strings.none),
    t: (key, ...values) => fill(strings[key], values),
    post: (message) => vscode.postMessage(message),
    get state() {
      return state;
    },
    change: (change) => become({ ...state, ...change }),
  };
  const draw = drawer(definition, page);
  keep();
  window.addEventListener('message', ({ data }) => {
    const result = checked(definition.schema, data);
    if ('fault' in result) {
      trouble(`A message of the extension was not understood: ${result.fault}`);
      return;
    }
    become(definition.reduce(state, result.message), definition.interval?.(result.message));
    definition.received?.(result.message, page);
  });
  vscode.postMessage({ kind: 'ready' });
}

/** Draws the current state; the first content replaces the text that says that the page loads. */
function drawer<State, HostMessage, Message, Key extends string>(
  { view, shown }: PageDefinition<State, HostMessage, Message, Key>,
  page: Page<State, Message, Key>,
): () => void {
  const root = document.querySelector('main')!;
  let contentOf: ((state: State) => TemplateResult | null) | undefined;
  let empty = true;
  return () => {
    contentOf ??= view(page);
    const content = contentOf(page.state);
    if (empty && content === null) return;
    if (empty) {
      root.replaceChildren();
      root.removeAttribute('aria-busy');
    }
    render(content ?? nothing, root);
    if (empty) shown?.(page);
    empty = false;
  };
}

function reportErrors(trouble: (message: string) => void): void {
  window.addEventListener('error', (event) =>
    trouble(event.error instanceof Error ? (event.error.stack ?? event.message) : event.message),
  );
  window.addEventListener('unhandledrejection', (event) =>
    trouble(`Unhandled rejection: ${String(event.reason)}`),
  );
  document.addEventListener('securitypolicyviolation', (event) =>
    trouble(`The content policy refused ${event.violatedDirective}: ${event.blockedURI}`),
  );
}

/** The host puts what a page needs before its first message into meta elements. */
const metaContent = (name: string): string =>
  document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content ?? '';
