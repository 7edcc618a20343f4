import * as vscode from 'vscode';
import { plain } from './plain';

/** What an item among those of the language of a file shows. */
export interface LanguageStatusContent {
  readonly text: string;
  readonly detail: string;
  readonly isBusy: boolean;
}

/** An item behind the braces of the status bar, for files of some languages. */
export class LanguageStatus implements vscode.Disposable {
  private readonly item: vscode.LanguageStatusItem;

  constructor(
    id: string,
    name: string,
    command: { readonly command: string; readonly title: string },
  ) {
    this.item = vscode.languages.createLanguageStatusItem(id, []);
    this.item.name = plain(name);
    this.item.command = { ...command, title: plain(command.title) };
  }

  /** Shows it for files of these languages. */
  showFor(selector: vscode.DocumentSelector): void {
    this.item.selector = selector;
  }

  show({ text, detail, isBusy }: LanguageStatusContent): void {
    this.item.text = plain(text);
    this.item.detail = plain(detail);
    this.item.busy = isBusy;
  }

  dispose(): void {
    this.item.dispose();
  }
}
