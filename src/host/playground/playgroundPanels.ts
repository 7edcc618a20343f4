import path from 'node:path';
import * as vscode from 'vscode';
import type { Disposable } from '../../common/signal';
import { LoraError } from '../../shared/errors';
import { exactText } from '../../shared/exactText';
import {
  asPlaygroundPageMessage,
  asPlaygroundPageState,
  type PlaygroundHostMessage,
  type PlaygroundPageMessage,
  type PlaygroundServerState,
} from '../../shared/pages/playground/protocol';
import type { ServeEvent } from '../../shared/serveProtocol';
import { toolsIn } from '../../shared/tools';
import { VIEWS } from '../manifest/ids';
import { refuseUntrusted } from '../jobs/jobs';
import { t } from '../text/l10n';
import { setTitle } from '../ui/panels';
import type { AskInspections } from '../inspection/inspections';
import type { RuntimeService } from '../runtime/runtimeService';
import { confirmedSender, openPage } from '../webview/page';
import type { PanelHost } from '../webview/panelHost';
import { PanelSet, type PanelPage } from '../webview/panelSet';
import { copyText } from '../webview/copyAndSave';
import { AnswerTexts } from './answerTexts';
import { PlaygroundFiles } from './playgroundFiles';
import { isAboutImages, PlaygroundImages } from './playgroundImages';
import { keepPrompt, readPrompts } from './prompts';
import type { RunSummary } from '../runs/run';
import { Server } from './server';
import { runOf, variablesFor } from './templateVariables';

/** What the pages need. */
export interface PlaygroundOptions extends PanelHost {
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  readonly runtime: RuntimeService;
  readonly inspections: AskInspections;
  readonly namesOf: (adapters: readonly string[]) => readonly string[];
  /** The runs that may have trained the adapters. */
  readonly runs: () => readonly RunSummary[];
  /** Asks for another adapter. Undefined: cancelled. */
  readonly chooseAdapter: (without: readonly string[]) => Promise<string | undefined>;
}

interface Subject {
  readonly base: string;
  readonly adapters: readonly string[];
}

/** The pages on which a base model and its adapters answer prompts, one for each base model. */
export class PlaygroundPanels implements vscode.Disposable {
  private readonly panels: PanelSet<Subject, PlaygroundPanel>;

  constructor(options: PlaygroundOptions) {
    this.panels = new PanelSet<Subject, PlaygroundPanel>({
      view: VIEWS.playground,
      subjectOf: asPlaygroundPageState,
      keyOf: ({ base }) => base,
      make: (panel, { base, adapters }) => new PlaygroundPanel(panel, base, adapters, options),
    });
  }

  /** Opens or reveals the page of a base model and adds the adapters to it. */
  show(base: string, adapters: readonly string[]): void {
    this.panels.show({ base, adapters }, undefined, (page) => page.add(adapters));
  }

  dispose(): void {
    this.panels.dispose();
  }
}

/**
 * The page sends `ready` whenever VS Code has loaded it. The model is loaded meanwhile, and freed
 * when the page is closed.
 */
class PlaygroundPanel implements PanelPage {
  private readonly disposables: readonly Disposable[];
  private readonly send: (message: PlaygroundHostMessage) => Promise<unknown>;
  private readonly texts = new AnswerTexts((text) => this.send(text));
  private server: Server | undefined;
  private phase: PlaygroundServerState['phase'] = { kind: 'loading', fraction: 0 };
  private prompts: readonly string[] = [];
  private starts = 0;
  private readonly files: PlaygroundFiles;
  private readonly images: PlaygroundImages;
  /** The first start of the server, while it is under way. */
  private loading: Promise<void> | undefined;

  constructor(
    readonly panel: vscode.WebviewPanel,
    private readonly base: string,
    private adapters: readonly string[],
    private readonly options: PlaygroundOptions,
  ) {
    const { webview } = panel;
    this.send = confirmedSender(panel);
    this.files = new PlaygroundFiles(
      (message) => void this.send(message),
      () => this.folder,
    );
    this.images = new PlaygroundImages(
      options.inspections,
      (message) => void this.send(message),
      () => this.folder,
    );
    setTitle(panel, t('Try on {0}', path.basename(base)));
    this.disposables = [
      this.texts,
      webview.onDidReceiveMessage((message: unknown) => {
        this.receive(message);
      }),
    ];
    openPage(webview, {
      extensionUri: options.extensionUri,
      page: 'playground',
      facts: { base },
    });
    // a window that restores its pages may not know its runs yet: then the page is waited for
    if (panel.visible && this.runOf(adapters) !== null) void this.load();
  }

  add(adapters: readonly string[]): void {
    this.panel.reveal();
    const all = [...new Set([...this.adapters, ...adapters])];
    if (all.length > this.adapters.length) this.restart(all).catch(this.options.report);
  }

  dispose(): void {
    this.starts++;
    this.server?.dispose();
    this.server = undefined;
    for (const disposable of this.disposables) disposable.dispose();
  }

  private receive(value: unknown): void {
    const message = asPlaygroundPageMessage(value);
    if (message) this.handle(message).catch(this.options.report);
    else this.options.log('Playground: a message of the page was not understood');
  }

  private async handle(message: PlaygroundPageMessage): Promise<void> {
    switch (message.kind) {
      case 'ready':
        return this.open();
      case 'reload':
        return this.restart(this.adapters);
      case 'addAdapter': {
        const adapter = await this.options.chooseAdapter(this.adapters);
        if (adapter !== undefined) this.add([adapter]);
        return;
      }
      case 'removeAdapter':
        return this.restart(this.adapters.filter((_, i) => i !== message.adapter));
      case 'ask':
        return this.ask(message);
      case 'row':
        this.server?.send(message);
        return;
      case 'stop':
        for (const id of message.ids) this.server?.send({ kind: 'stop', id });
        return;
      case 'copyText':
        return copyText(message.text);
      case 'trouble':
        this.options.log(`Playground: ${message.message}`);
        return;
      default:
        return isAboutImages(message) ? this.images.handle(message) : this.files.handle(message);
    }
  }

  private async open(): Promise<void> {
    this.prompts = await readPrompts(this.folder);
    if (!this.server) await this.load();
    this.sendState();
  }

  /** Starts the server, unless that is under way. Does not throw: the page shows an error. */
  private load(): Promise<void> {
    this.loading ??= this.restart(this.adapters)
      .catch((error: unknown) =>
        this.setPhase({ kind: 'failed', message: LoraError.from(error, 'engine').describe() }),
      )
      .finally(() => (this.loading = undefined));
    return this.loading;
  }

  private async ask({
    settings,
    columns,
  }: Extract<PlaygroundPageMessage, { kind: 'ask' }>): Promise<void> {
    const { base, adapters } = this;
    for (const { id, adapter, scale, seed, turns } of columns) {
      const chosen = adapter === null ? null : (adapters[adapter] ?? null);
      const chat_template_kwargs = variablesFor(chosen, { base, adapters }, this.options.runs());
      const own = { ...settings, seed: seed ?? settings.seed };
      const request = { kind: 'answer', id, settings: own, adapter, scale, turns } as const;
      this.server?.send({ ...request, chat_template_kwargs });
    }
    this.prompts = await keepPrompt(this.folder, settings.prompt);
  }

  private async restart(adapters: readonly string[]): Promise<void> {
    refuseUntrusted();
    const start = ++this.starts;
    this.server?.dispose();
    this.server = undefined;
    this.adapters = adapters;
    this.setPhase({ kind: 'loading', fraction: 0 });
    const env = await this.options.runtime.ensure();
    if (!env) {
      this.setPhase({ kind: 'failed', message: t('A runtime must be installed first.') });
      return;
    }
    if (start !== this.starts) return; // restarted again in the meantime
    const server = new Server({
      node: process.execPath,
      cli: this.options.cli,
      base: this.base,
      adapters,
      run: this.runOf(adapters),
      env,
      onEvent: (event) => {
        if (this.server === server) this.handleEvent(event);
      },
    });
    this.server = server;
  }

  private handleEvent(event: ServeEvent): void {
    if (event.kind === 'text') {
      this.texts.add(event);
      return;
    }
    this.texts.flush();
    switch (event.kind) {
      case 'progress':
        this.setPhase({ kind: 'loading', fraction: event.fraction });
        break;
      case 'ready':
        this.setPhase({
          kind: 'ready',
          has_chat_template: event.has_chat_template,
          reads_images: event.reads_images,
          device: event.device,
        });
        break;
      case 'warning':
        this.options.log(`Playground: ${event.message}`);
        break;
      case 'row':
      case 'done':
        void this.send(event);
        break;
      case 'rowFailed':
        void this.send({
          kind: 'rowFailed',
          message: LoraError.deserialize(event.error).describe(),
        });
        break;
      case 'error': {
        const message = LoraError.deserialize(event.error).describe();
        if (event.id === null) this.setPhase({ kind: 'failed', message });
        else void this.send({ kind: 'failed', id: event.id, message });
      }
    }
  }

  private setPhase(phase: PlaygroundServerState['phase']): void {
    this.phase = phase;
    this.sendState();
  }

  private sendState(): void {
    const names = this.options.namesOf(this.adapters);
    const adapters = this.adapters.map((adapter, i) => ({ path: adapter, name: names[i]! }));
    void this.send({
      kind: 'state',
      base: path.basename(this.base),
      adapters,
      prompts: [...this.prompts],
      rows: this.runOf(this.adapters) !== null,
      tools: this.tools,
      phase: this.phase,
    });
  }

  private runOf(adapters: readonly string[]): string | null {
    return this.summaryOf(adapters)?.dir ?? null;
  }

  /** The run that has trained the first of the adapters that a run has trained, or the base. */
  private summaryOf(adapters: readonly string[]): RunSummary | undefined {
    const runs = this.options.runs();
    const places = [...adapters, this.base];
    return places.flatMap((place) => runOf(place, runs) ?? [])[0];
  }

  /** The tools of the run's recipe, as JSON. */
  private get tools(): string {
    const tools = toolsIn(this.summaryOf(this.adapters)?.tools);
    return tools && tools.length > 0 ? exactText(tools, 2) : '';
  }

  /** The folder that stores the prompts: the workspace folder of the base model, else the first. */
  private get folder(): string {
    return (
      (
        vscode.workspace.getWorkspaceFolder(vscode.Uri.file(this.base)) ??
        vscode.workspace.workspaceFolders?.[0]
      )?.uri.fsPath ?? path.dirname(this.base)
    );
  }
}
