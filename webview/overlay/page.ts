import { fill } from '../../src/shared/fill';
import {
  asOverlayHostMessage,
  asOverlayPageState,
  type OverlayHostMessage,
  type OverlayPageState,
  type OverlaySubject,
} from '../../src/shared/pages/overlay/protocol';
import type { OverlayStrings } from '../../src/shared/pages/overlay/strings';
import { Paced } from '../shared/paced';
import { el } from '../shared/dom';
import { Formatter } from '../shared/format';
import { afterMessage, newRun } from './model/runs';
import { OverlayChart } from './parts/chart';
import { head } from './parts/head';
import { table } from './parts/table';
import type { Context, Part, View } from './view';
import { vscode } from './vscodeApi';

const WORDS_INTERVAL_MS = 1000;

/** Takes the host's messages in, keeps the user's choices, draws at most once a frame. */
export class Page {
  private view: View;
  private parts: readonly Part[] = [];
  private frame: number | undefined;
  /** Words and table: they are read, not watched. */
  private readonly words = new Paced(() => {
    for (const part of this.parts) if (!(part instanceof OverlayChart)) part.update(this.view);
  });
  private readonly context: Context;

  constructor(
    private readonly root: HTMLElement,
    private readonly strings: OverlayStrings,
    subject: OverlaySubject,
  ) {
    this.view = {
      title: '',
      sweep: subject.kind === 'sweep',
      waiting: 0,
      runs: [],
      choices: keptChoices(subject),
    };
    vscode.setState(this.view.choices);
    this.context = {
      format: new Formatter(document.documentElement.lang, strings.none),
      t: (key, ...values) => fill(strings[key], values),
      post: (message) => vscode.postMessage(message),
      chosen: () => this.view.choices,
      choose: (change) => {
        const choices = { ...this.view.choices, ...change };
        vscode.setState(choices);
        this.show({ ...this.view, choices });
      },
    };
  }

  receive(data: unknown): void {
    const message = asOverlayHostMessage(data);
    if (!message)
      vscode.postMessage({ kind: 'trouble', message: 'A message of the host was not understood.' });
    else
      this.show(
        this.after(message),
        message.kind === 'of' && message.message.kind === 'append' ? WORDS_INTERVAL_MS : 0,
      );
  }

  private after(message: OverlayHostMessage): View {
    const { view } = this;
    if (message.kind === 'of')
      return {
        ...view,
        runs: view.runs.map((run) =>
          run.dir === message.dir ? afterMessage(run, message.message) : run,
        ),
      };
    const known = new Map(view.runs.map((run) => [run.dir, run]));
    return {
      ...view,
      title: message.title,
      sweep: message.sweep,
      waiting: message.waiting,
      runs: message.runs.map(({ dir, name }) => ({
        ...(known.get(dir) ?? newRun(dir, name)),
        name,
      })),
    };
  }

  private show(view: View, wait = 0): void {
    this.view = view;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
    this.words.within(wait); // after the frame that builds the page
  }

  private draw(): void {
    if (this.parts.length === 0) {
      this.parts = [head(this.context), new OverlayChart(this.context), table(this.context)];
      this.root.replaceChildren(
        ...this.parts.map((part) => part.root),
        el('p', { class: 'empty' }, this.strings.empty),
      );
      this.root.removeAttribute('aria-busy');
    }
    this.root.classList.toggle('no-runs', this.view.runs.length === 0);
    for (const part of this.parts) if (part instanceof OverlayChart) part.update(this.view);
  }
}

/** What VS Code kept of this page, or the defaults. */
function keptChoices(subject: OverlaySubject): OverlayPageState {
  const kept = asOverlayPageState(vscode.getState());
  const same = kept !== undefined && JSON.stringify(kept.subject) === JSON.stringify(subject);
  return same ? kept : asOverlayPageState({ subject })!;
}
