import {
  provideVSCodeDesignSystem,
  vsCodeButton,
  vsCodeCheckbox,
} from '@vscode/webview-ui-toolkit';
import type { ConfigureStrings } from '../../src/shared/pages/configure/strings';
import { meta, reportTrouble } from '../shared/start';
import './configure.css';
import { Page } from './page';
import { vscode } from './vscodeApi';

reportTrouble((message) => vscode.postMessage({ kind: 'trouble', message }));
provideVSCodeDesignSystem().register(vsCodeButton(), vsCodeCheckbox());

const page = new Page(
  document.querySelector('main')!,
  JSON.parse(meta('strings')) as ConfigureStrings,
  meta('recipe'),
);
window.addEventListener('message', (event) => page.receive(event.data));
vscode.postMessage({ kind: 'ready' });
