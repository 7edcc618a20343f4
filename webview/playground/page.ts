import { fill } from '../../src/shared/fill';
import {
  asPlaygroundHostMessage,
  asPlaygroundPageState,
  type PlaygroundPageState,
  type PlaygroundState,
} from '../../src/shared/pages/playground/protocol';
import type { PlaygroundStrings } from '../../src/shared/pages/playground/strings';
import { Formatter } from '../shared/format';
import { emptyColumn, heard, isBusy, type Column } from './model/columns';
import { answers } from './parts/answers';
import { question } from './parts/question';
import { scaleOf, type Context, type Part, type View } from './view';
import { vscode } from './vscodeApi';

/** Takes the host's messages in, keeps the user's choices, draws at most once a frame. */
export class Page {
  private view: View | undefined;
  private parts: readonly Part[] = [];
  private frame: number | undefined;
  private asked = 0;
  private readonly context: Context;

  constructor(
    private readonly root: HTMLElement,
    private readonly strings: PlaygroundStrings,
    private readonly base: string,
  ) {
    this.context = {
      format: new Formatter(document.documentElement.lang, strings.none),
      t: (key, ...values) => fill(strings[key], values),
      post: (message) => vscode.postMessage(message),
      kept: () => this.view!.kept,
      keep: (change) => this.keep(change),
      ask: (only) => this.ask(only),
      stop: () => this.stop(),
    };
  }

  receive(data: unknown): void {
    const message = asPlaygroundHostMessage(data);
    if (!message)
      vscode.postMessage({ kind: 'trouble', message: 'A message of the host was not understood.' });
    else if (message.kind === 'state') this.take(message);
    else if (this.view) this.change({ columns: heard(this.view.columns, message) });
  }

  /** Answers stay beside the adapters that gave them. */
  private take(state: PlaygroundState): void {
    const before = new Map(
      (this.view?.columns ?? []).map((column) => [this.pathOf(column), column]),
    );
    const places: readonly (readonly [string, number | null, string])[] = [
      ['', null, this.strings.base],
      ...state.adapters.map(({ path, name }, i) => [path, i, name] as const),
    ];
    const adapters = state.adapters.map(({ path }) => path);
    const kept = this.keptFor(adapters);
    const restarted = state.phase.kind === 'loading' && this.view?.state.phase.kind !== 'loading';
    const columns = places.map(([path, adapter, name]): Column => {
      const known = before.get(path);
      return known && !(restarted && isBusy(known))
        ? { ...known, adapter, name }
        : emptyColumn(adapter, name);
    });
    vscode.setState(kept);
    this.change({ state, columns, kept });
  }

  private pathOf({ adapter }: Column): string {
    return adapter === null ? '' : (this.view!.state.adapters[adapter]?.path ?? '');
  }

  /** What VS Code kept of this base's page; scales go with their adapters. */
  private keptFor(adapters: string[]): PlaygroundPageState {
    const stored = this.view?.kept ?? asPlaygroundPageState(vscode.getState());
    const kept =
      stored?.base === this.base ? stored : asPlaygroundPageState({ base: this.base, adapters })!;
    const scales = new Map(kept.adapters.map((path, i) => [path, kept.scales[i] ?? 1]));
    return { ...kept, adapters, scales: adapters.map((path) => scales.get(path) ?? 1) };
  }

  private keep(change: Partial<PlaygroundPageState>): void {
    if (!this.view) return;
    const kept = { ...this.view.kept, ...change };
    vscode.setState(kept);
    this.change({ kept });
  }

  private ask(only?: number | null): void {
    const { view } = this;
    if (view?.state.phase.kind !== 'ready' || view.kept.settings.prompt.trim() === '') return;
    const number = ++this.asked;
    const isMeant = ({ adapter }: Column) => only === undefined || adapter === only;
    const stopped = view.columns
      .filter((column) => isMeant(column) && isBusy(column))
      .map(({ id }) => id!);
    if (stopped.length > 0) vscode.postMessage({ kind: 'stop', ids: stopped });
    const columns = view.columns.map((column): Column =>
      isMeant(column)
        ? {
            ...column,
            id: `${number}-${column.adapter ?? 'base'}`,
            text: '',
            state: { kind: 'waiting' },
          }
        : column,
    );
    const settings = {
      ...view.kept.settings,
      chat: view.kept.settings.chat && view.state.phase.has_chat_template,
    };
    vscode.postMessage({
      kind: 'ask',
      settings,
      columns: columns.filter(isMeant).map(({ id, adapter }) => ({
        id: id!,
        adapter,
        scale: adapter === null ? 1 : scaleOf(view, adapter),
      })),
    });
    const { prompts } = view.state;
    this.change({
      columns,
      state: {
        ...view.state,
        prompts: [settings.prompt, ...prompts.filter((own) => own !== settings.prompt)],
      },
    });
  }

  private stop(): void {
    const ids = this.view?.columns.filter(isBusy).map(({ id }) => id!) ?? [];
    if (ids.length > 0) vscode.postMessage({ kind: 'stop', ids });
  }

  private change(change: Partial<View>): void {
    this.view = { ...this.view, ...change } as View;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  private draw(): void {
    if (this.parts.length === 0) {
      this.parts = [question(this.context), answers(this.context)];
      this.root.replaceChildren(...this.parts.map((part) => part.root));
      this.root.removeAttribute('aria-busy');
    }
    for (const part of this.parts) part.update(this.view!);
  }
}
