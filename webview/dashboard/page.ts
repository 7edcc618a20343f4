import type { DashboardStrings } from '../../src/shared/pages/dashboard/strings';
import { fill } from '../../src/shared/fill';
import { ChartBoard } from './charts/board';
import { asChoices } from './model/choices';
import { Formatter } from '../shared/format';
import { initialModel, reduce, type Model } from './model/model';
import { asHostMessage } from '../../src/shared/pages/dashboard/guards';
import type { Context, Section } from './section';
import { vscode } from './vscodeApi';
import { header } from './view/header';
import { notices } from './view/notices';
import { tabs } from './view/tabs';
import { tiles } from './view/tiles';

/** Takes the host's messages in, draws at most once a frame. */
export class Page {
  private model: Model;
  private sections: readonly Section[] = [];
  private frame: number | undefined;
  private readonly context: Context;

  constructor(
    private readonly root: HTMLElement,
    strings: DashboardStrings,
    runDir: string,
  ) {
    this.model = initialModel(asChoices(vscode.getState(), runDir));
    vscode.setState(this.model.choices);
    this.context = {
      format: new Formatter(document.documentElement.lang, strings.none),
      t: (key, ...values) => fill(strings[key], values),
      post: (message) => {
        if (message.kind === 'request') this.change({ ...this.model, pending: message.request });
        vscode.postMessage(message);
      },
      chosen: () => this.model.choices,
      choose: (change) => {
        this.change({ ...this.model, choices: { ...this.model.choices, ...change } });
        vscode.setState(this.model.choices);
      },
    };
  }

  receive(data: unknown): void {
    const checked = asHostMessage(data);
    if ('fault' in checked)
      vscode.postMessage({
        kind: 'trouble',
        message: `A message of the extension was not understood: ${checked.fault}`,
      });
    else this.change(reduce(this.model, checked.message));
  }

  rememberScroll(scroll: number): void {
    if (!this.model.loaded) return;
    this.model = { ...this.model, choices: { ...this.model.choices, scroll } };
    vscode.setState(this.model.choices);
  }

  private change(model: Model): void {
    this.model = model;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.render();
    });
  }

  private render(): void {
    if (!this.model.loaded) return;
    const first = this.sections.length === 0;
    if (first) this.build();
    for (const section of this.sections) section.update(this.model);
    if (first) window.scrollTo(0, this.model.choices.scroll);
  }

  private build(): void {
    this.sections = [
      header(this.context),
      notices(this.context),
      tiles(this.context),
      new ChartBoard(this.context),
      tabs(this.context),
    ];
    this.root.replaceChildren(...this.sections.map((section) => section.root));
    this.root.removeAttribute('aria-busy');
  }
}
