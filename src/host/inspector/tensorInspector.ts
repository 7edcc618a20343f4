import path from 'node:path';
import type * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { asInspectPageMessage, type InspectHostMessage } from '../../shared/pages/inspect/protocol';
import { openPage, sender } from '../webview/page';
import type { PanelHost } from '../webview/panelHost';
import type { AdapterFindings, TensorFileFacts } from '../../inspect/questions';
import { elementsOf } from '../../formats/tensorInfo';
import type { AskInspections } from '../inspection/inspections';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';

/** Reading the values of more would keep the user waiting. */
const MAX_ELEMENTS = 1 << 25;
const F32 = 4;

/** One editor tab that shows the tensors of a .safetensors or .gguf file. */
export class TensorInspector {
  private facts: TensorFileFacts | undefined;
  /** Of the last reading of the file. */
  private reading = new AbortController();
  private readonly send: (message: InspectHostMessage) => void;

  constructor(
    private readonly file: string,
    private readonly panel: vscode.WebviewPanel,
    private readonly host: PanelHost & { readonly inspections: AskInspections },
  ) {
    this.send = sender(panel);
  }

  /** Loads the page into the tab. Closing the tab disposes everything. */
  show(): void {
    const { webview } = this.panel;
    const listener = webview.onDidReceiveMessage((value: unknown) => void this.receive(value));
    this.panel.onDidDispose(() => {
      listener.dispose();
      this.reading.abort();
    });
    openPage(webview, {
      extensionUri: this.host.extensionUri,
      page: 'inspect',
      facts: {},
    });
  }

  private async receive(value: unknown): Promise<void> {
    const message = asInspectPageMessage(value);
    switch (message?.kind) {
      case 'ready':
        return this.read();
      case 'measure':
        return this.measure(message.tensor);
      default:
        this.host.log(
          `Inspector: ${message ? message.message : 'a message of the page was not understood'}`,
        );
    }
  }

  /** Reads the file again: it may have been replaced. */
  private async read(): Promise<void> {
    this.reading.abort();
    this.reading = new AbortController();
    const { signal } = this.reading;
    try {
      const facts = await this.host.inspections.ask('tensorFile', { file: this.file }, signal);
      if (signal.aborted) return;
      this.facts = facts;
      this.send({
        kind: 'file',
        name: path.basename(this.file),
        format: facts.format,
        bytes: facts.bytes,
        metadata: facts.metadata.map(({ key, value, total }) => ({
          key,
          value: total === undefined ? value : t('{0}, … ({1} in total)', value, total),
        })),
        tensors: [...facts.tensors],
      });
      await this.showFindings(signal);
    } catch (error) {
      if (signal.aborted) return;
      this.send({ kind: 'fault', message: LoraError.from(error, 'base').describe() });
    }
  }

  private async showFindings(signal: AbortSignal): Promise<void> {
    const findings = await this.host.inspections
      .ask('findings', { file: this.file }, signal)
      .then(textsOf, (error: unknown) => [LoraError.from(error, 'adapter').describe()]);
    if (!signal.aborted) this.send({ kind: 'findings', findings });
  }

  private async measure(tensor: string): Promise<void> {
    const { signal } = this.reading;
    try {
      this.refuseLarge(tensor);
      const asked = { file: this.file, tensor };
      const values = await this.host.inspections.ask('values', asked, signal);
      if (!signal.aborted) this.send({ kind: 'values', tensor, values });
    } catch (error) {
      if (signal.aborted) return;
      this.send({ kind: 'noValues', tensor, why: LoraError.from(error, 'base').message });
    }
  }

  /** @throws LoraError('memory') */
  private refuseLarge(tensor: string): void {
    const shape = this.facts?.tensors.find(({ name }) => name === tensor)?.shape ?? [];
    if (elementsOf(shape) <= MAX_ELEMENTS) return;
    throw new LoraError(
      'memory',
      t('The tensor is too large for statistics ({0}).', formatBytes(F32 * elementsOf(shape))),
      { place: { file: this.file, tensor } },
    );
  }
}

const textsOf = ({ findings, tooLarge }: AdapterFindings): string[] =>
  tooLarge === null
    ? [...findings]
    : [
        t(
          'The adapter is too large to be checked here ({0}). Use lora inspect.',
          formatBytes(tooLarge),
        ),
      ];
