import {
  asConfigureHostMessage,
  asConfigurePageState,
  type ConfigureHostMessage,
} from '../../src/shared/pages/configure/protocol';
import type { ConfigureStrings } from '../../src/shared/pages/configure/strings';
import { fill } from '../../src/shared/fill';
import { el } from '../shared/dom';
import { Formatter } from '../shared/format';
import { advicePart } from './parts/advice';
import { costsPart } from './parts/costs';
import { headPart } from './parts/head';
import { rankPart } from './parts/rank';
import { targetsPart } from './parts/targets';
import { vscode } from './vscodeApi';
import type { Choose, Context, Part, View } from './view';

/** Takes the host's messages in, shows the choice and its cost, sends what the user chooses. */
export class Page {
  private view: View | undefined;
  private parts: readonly Part[] = [];
  private frame: number | undefined;
  private applied = 0;
  private readonly context: Context;

  constructor(
    private readonly root: HTMLElement,
    private readonly strings: ConfigureStrings,
    private readonly recipe: string,
  ) {
    this.context = {
      format: new Formatter(document.documentElement.lang, strings.none),
      t: (key, ...values) => fill(strings[key], values),
      now: () => this.view!,
      choose: this.choose,
      arrange: (change) => this.arrange(change),
      post: (message) => vscode.postMessage(message),
    };
    this.keep();
  }

  receive(data: unknown): void {
    const message = asConfigureHostMessage(data);
    switch (message?.kind) {
      case 'recipe':
        this.take(message);
        break;
      case 'figures':
        this.change({ figures: message.figures });
        break;
      case 'advice':
        this.change({ advice: message.advice });
        break;
      case 'fault':
        this.fail(message.message);
        break;
      default:
        vscode.postMessage({
          kind: 'trouble',
          message: 'A message of the host was not understood.',
        });
    }
  }

  /** A recipe without the user's newest choice is on its way to one with it. */
  private take({
    file,
    base,
    modules,
    settings,
    chosen,
    applied,
    figures,
    advice,
  }: Extract<ConfigureHostMessage, { kind: 'recipe' }>): void {
    if (applied < this.applied) return;
    const kept = this.kept();
    const arranged = this.view ?? {
      by: kept?.by ?? 'kind',
      open: new Set(kept?.open),
      follow: true,
    };
    this.view = {
      ...arranged,
      file,
      base,
      modules,
      settings,
      chosen: new Set(chosen),
      figures,
      advice,
    };
    this.draw();
  }

  /** What was chosen stays in sight; it comes back when the recipe can be read again. */
  private fail(message: string): void {
    this.parts = [];
    this.root.removeAttribute('aria-busy');
    this.root.replaceChildren(
      el(
        'div',
        { class: 'failed', role: 'alert' },
        el('h1', {}, this.strings.fault),
        el('p', {}, message),
        el(
          'vscode-button',
          { click: () => vscode.postMessage({ kind: 'openRecipe' }) },
          this.strings.openRecipe,
        ),
      ),
    );
  }

  private readonly choose: Choose = (choice, done) => {
    if (!this.view) return;
    this.change(choice);
    const { settings, chosen } = this.view;
    const own = { settings, chosen: [...chosen] };
    vscode.postMessage(
      done && chosen.size > 0
        ? { kind: 'apply', id: ++this.applied, ...own }
        : { kind: 'preview', ...own },
    );
  };

  private arrange(change: Partial<Pick<View, 'by' | 'open' | 'follow'>>): void {
    this.change(change);
    this.keep();
  }

  private change(change: Partial<View>): void {
    if (!this.view) return;
    this.view = { ...this.view, ...change };
    if (this.parts.length > 0) this.frame ??= requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.frame = undefined;
    if (!this.view) return;
    if (this.parts.length === 0) {
      const [head, rank, targets, costs, advice] = [
        headPart,
        rankPart,
        targetsPart,
        costsPart,
        advicePart,
      ].map((part) => part(this.context)) as [Part, Part, Part, Part, Part];
      this.parts = [head, rank, targets, costs, advice];
      this.root.replaceChildren(
        head.root,
        el(
          'div',
          { class: 'columns' },
          el('div', { class: 'choices' }, rank.root, targets.root),
          el('div', { class: 'results' }, advice.root, costs.root),
        ),
      );
      this.root.removeAttribute('aria-busy');
    }
    for (const part of this.parts) part.update(this.view);
  }

  private kept() {
    const state = asConfigurePageState(vscode.getState());
    return state?.recipe === this.recipe ? state : undefined;
  }

  private keep(): void {
    vscode.setState({
      ...this.kept(),
      recipe: this.recipe,
      ...(this.view && { by: this.view.by, open: [...this.view.open] }),
    });
  }
}
