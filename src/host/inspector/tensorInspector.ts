import path from 'node:path';
import type * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { asInspectPageMessage, type InspectHostMessage } from '../../shared/pages/inspect/protocol';
import { openPage, sender } from '../webview/page';
import type { PanelHost } from '../webview/panelHost';
import type { TensorFile } from './tensorFile';

/**
 * One editor tab that shows the tensors of a .safetensors or .gguf file. The file stays open as
 * long as the tab, so that values can be read when the page requests them.
 */
export class TensorInspector {
  private opened: Promise<TensorFile> | undefined;
  private readonly send: (message: InspectHostMessage) => void;

  constructor(
    private readonly file: string,
    private readonly panel: vscode.WebviewPanel,
    private readonly host: PanelHost,
  ) {
    this.send = sender(panel);
  }

  /** Loads the page into the tab. Closing the tab disposes everything. */
  show(): void {
    const { webview } = this.panel;
    const listener = webview.onDidReceiveMessage((value: unknown) => void this.receive(value));
    this.panel.onDidDispose(() => {
      listener.dispose();
      this.close();
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

  /** Opens the file again: it may have been replaced. */
  private async read(): Promise<void> {
    this.close();
    const { openTensorFile } = await import('./tensorFile');
    this.opened = openTensorFile(this.file);
    await this.opened.then(
      async ({ facts }) => {
        this.send({ kind: 'file', name: path.basename(this.file), ...facts });
        const { adapterFindings } = await import('./adapterFindings');
        this.send({ kind: 'findings', findings: [...(await adapterFindings(this.file))] });
      },
      (error: unknown) =>
        this.send({ kind: 'fault', message: LoraError.from(error, 'base').describe() }),
    );
  }

  private async measure(tensor: string): Promise<void> {
    try {
      const { valuesOf } = await import('./statistics');
      const numbers = await (await this.opened)?.readF32(tensor);
      if (numbers) this.send({ kind: 'values', tensor, values: valuesOf(numbers) });
    } catch (error) {
      this.send({ kind: 'noValues', tensor, why: LoraError.from(error, 'base').message });
    }
  }

  private close(): void {
    void this.opened?.then(
      (file) => file.close(),
      () => undefined,
    );
    this.opened = undefined;
  }
}
