import { provideVSCodeDesignSystem, vsCodeButton } from '@vscode/webview-ui-toolkit';
import type { CompareStrings } from '../../src/shared/pages/compare/strings';
import { meta, reportTrouble } from '../shared/start';
import './compare.css';
import { Page } from './page';
import { vscode } from './vscodeApi';

reportTrouble((message) => vscode.postMessage({ kind: 'trouble', message }));
provideVSCodeDesignSystem().register(vsCodeButton());

const page = new Page(
  document.querySelector('main')!,
  JSON.parse(meta('strings')) as CompareStrings,
  [meta('a'), meta('b')],
);
window.addEventListener('message', (event) => page.receive(event.data));
vscode.postMessage({ kind: 'ready' });
