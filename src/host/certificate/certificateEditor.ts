import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import {
  asCertificatePageMessage,
  type CertificateHostMessage,
} from '../../shared/pages/certificate/protocol';
import { COMMANDS } from '../commands/commandTable';
import { openPlace, revealPlace } from '../editor/openPlace';
import { showModelfile } from '../editor/showModelfile';
import type { Jobs } from '../jobs/jobs';
import { t } from '../text/l10n';
import { openPage, sender } from '../webview/page';
import type { PanelHost } from '../webview/panelHost';
import { readCertificate } from './readCertificate';

/** What the page needs. */
export type CertificateOptions = PanelHost & { readonly jobs: Jobs };

type Verified = Omit<Extract<CertificateHostMessage, { kind: 'verified' }>, 'kind'>;

const FILE_ENDING = '.merge.json';

/** How a merged model is stored, by its name. */
function formOf(model: string): 'gguf' | 'safetensors' | 'folder' {
  if (model.endsWith('.gguf')) return 'gguf';
  return model.endsWith('.safetensors') ? 'safetensors' : 'folder';
}

/** The base that a weight file belongs to. */
const baseOfFile = (file: string): string => (file.endsWith('.gguf') ? file : path.dirname(file));

/** One editor tab that shows a merge's certificate as a page. */
export class CertificateEditor {
  private readonly send: (message: CertificateHostMessage) => void;
  /** Beside a file its name and an ending, in a folder merge.json. */
  private readonly model: string;

  constructor(
    private readonly file: string,
    private readonly panel: vscode.WebviewPanel,
    private readonly options: CertificateOptions,
  ) {
    this.send = sender(panel);
    this.model = file.endsWith(FILE_ENDING)
      ? file.slice(0, -FILE_ENDING.length)
      : path.dirname(file);
  }

  /** Loads the page into the tab. Closing the tab disposes everything. */
  show(): void {
    const { webview } = this.panel;
    const listener = webview.onDidReceiveMessage((value: unknown) => {
      this.receive(value).catch((error: unknown) => this.options.report(error));
    });
    this.panel.onDidDispose(() => {
      listener.dispose();
    });
    openPage(webview, {
      extensionUri: this.options.extensionUri,
      page: 'certificate',
      facts: {},
    });
  }

  private async receive(value: unknown): Promise<void> {
    const message = asCertificatePageMessage(value);
    switch (message?.kind) {
      case 'ready':
        return this.read();
      case 'try':
        await vscode.commands.executeCommand(COMMANDS.tryModel.id, vscode.Uri.file(this.model));
        return;
      case 'reveal':
        return revealPlace(this.model);
      case 'modelfile':
        return showModelfile(this.model);
      case 'verify':
        return this.verify();
      case 'exactly':
        return this.mergeExactly();
      case 'json':
        return openPlace({ file: this.file });
      default:
        this.options.log(
          `Certificate: ${message ? message.message : 'a message of the page was not understood'}`,
        );
    }
  }

  private async read(): Promise<void> {
    try {
      this.send({
        kind: 'certificate',
        name: path.basename(this.model),
        form: formOf(this.model),
        certificate: await readCertificate(this.file),
      });
    } catch (error) {
      this.send({ kind: 'fault', message: LoraError.from(error, 'adapter').describe() });
    }
  }

  private async verify(): Promise<void> {
    const verified = await this.options.jobs.run<Verified>(
      t('Verifying {0}', path.basename(this.model)),
      ['merge', '--verify', this.model],
      false,
    );
    if (verified)
      this.send({ kind: 'verified', outputs: verified.outputs, inputs: verified.inputs });
  }

  /** Merges the same adapter again, into float32. */
  private async mergeExactly(): Promise<void> {
    const { adapters, inputs, base, weights } = await readCertificate(this.file);
    const [adapter] = adapters;
    const [file] = inputs;
    if (adapter === undefined || file === undefined) return;
    const placeOf = (place: string) => path.resolve(path.dirname(this.file), place);
    const first = placeOf(file.file);
    await vscode.commands.executeCommand(COMMANDS.mergeAdapter.id, {
      adapter: placeOf(adapter),
      base: weights ? placeOf(base) : baseOfFile(first),
      dtype: 'float32',
      form: formOf(this.model),
    });
  }
}
