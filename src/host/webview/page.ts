import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import { PAGES, type PageId } from '../../shared/pages/pages';
import { pageHtml, type PageParts } from './pageHtml';

/** Which page to open. */
export interface PageOptions extends Pick<PageParts, 'facts'> {
  readonly extensionUri: vscode.Uri;
  readonly page: PageId;
}

/** Shows a page of the extension in a webview, which can load files of dist/webview only. */
export function openPage(
  webview: vscode.Webview,
  { extensionUri, page, facts }: PageOptions,
): void {
  const folder = vscode.Uri.joinPath(extensionUri, 'dist', 'webview');
  webview.options = { enableScripts: true, localResourceRoots: [folder] };
  const address = (file: string) =>
    webview.asWebviewUri(vscode.Uri.joinPath(folder, file)).toString();
  webview.html = pageHtml({
    cspSource: webview.cspSource,
    nonce: randomBytes(16).toString('base64url'),
    script: address(`${page}.js`),
    style: address(`${page}.css`),
    language: vscode.env.language,
    strings: localized(PAGES[page].strings),
    facts,
    images: 'images' in PAGES[page],
  });
}

/** Sends messages to a panel's page until the panel is closed; later ones are dropped. */
export function sender(panel: vscode.WebviewPanel): (message: unknown) => void {
  const send = confirmedSender(panel);
  return (message) => {
    void send(message);
  };
}

/** As `sender`; what it returns resolves when the window has the message. */
export function confirmedSender(
  panel: vscode.WebviewPanel,
): (message: unknown) => Promise<unknown> {
  let open = true;
  panel.onDidDispose(() => {
    open = false;
  });
  return async (message) => (open ? panel.webview.postMessage(message) : undefined);
}

/** A page's texts in the user's language. */
function localized(strings: PageParts['strings']): PageParts['strings'] {
  const translated = Object.entries(strings).map(([key, text]) => [key, vscode.l10n.t(text)]);
  return Object.fromEntries(translated) as PageParts['strings'];
}
