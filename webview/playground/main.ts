import { provideVSCodeDesignSystem, vsCodeButton } from '@vscode/webview-ui-toolkit';
import type { PlaygroundStrings } from '../../src/shared/pages/playground/strings';
import { meta, reportTrouble } from '../shared/start';
import { Page } from './page';
import './playground.css';
import { vscode } from './vscodeApi';

reportTrouble((message) => vscode.postMessage({ kind: 'trouble', message }));
provideVSCodeDesignSystem().register(vsCodeButton());

const page = new Page(
  document.querySelector('main')!,
  JSON.parse(meta('strings')) as PlaygroundStrings,
  meta('base'),
);
window.addEventListener('message', (event) => page.receive(event.data));
vscode.postMessage({ kind: 'ready' });
