import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import { pageHtml, type PageParts } from './pageHtml';

export interface PageOptions extends Pick<PageParts, 'strings' | 'facts'> {
  readonly extensionUri: vscode.Uri;
  /** Of its script and its style sheet in dist/webview. */
  readonly name: string;
}

/** Puts a page of the extension into a webview: its own folder, its own script, nothing else. */
export function openPage(
  webview: vscode.Webview,
  { extensionUri, name, strings, facts }: PageOptions,
): void {
  const folder = vscode.Uri.joinPath(extensionUri, 'dist', 'webview');
  webview.options = { enableScripts: true, localResourceRoots: [folder] };
  const address = (file: string) =>
    webview.asWebviewUri(vscode.Uri.joinPath(folder, file)).toString();
  webview.html = pageHtml({
    cspSource: webview.cspSource,
    nonce: randomBytes(16).toString('base64url'),
    script: address(`${name}.js`),
    style: address(`${name}.css`),
    language: vscode.env.language,
    strings,
    facts,
  });
}

/**
 * Sends messages to a panel's page while there is one: work that ends after it was closed has
 * nobody to tell.
 */
export function sender(panel: vscode.WebviewPanel): (message: unknown) => void {
  let open = true;
  panel.onDidDispose(() => {
    open = false;
  });
  return (message) => {
    if (open) void panel.webview.postMessage(message);
  };
}

/** A page's texts in the user's language. */
export function localized<T extends Readonly<Record<string, string>>>(strings: T): T {
  return Object.fromEntries(
    Object.entries(strings).map(([key, text]) => [key, vscode.l10n.t(text)]),
  ) as T;
}
