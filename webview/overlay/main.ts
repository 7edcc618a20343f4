import { provideVSCodeDesignSystem, vsCodeButton } from '@vscode/webview-ui-toolkit';
import { asOverlaySubject } from '../../src/shared/pages/overlay/protocol';
import type { OverlayStrings } from '../../src/shared/pages/overlay/strings';
import { meta, reportTrouble } from '../shared/start';
import './overlay.css';
import { Page } from './page';
import { vscode } from './vscodeApi';

reportTrouble((message) => vscode.postMessage({ kind: 'trouble', message }));
provideVSCodeDesignSystem().register(vsCodeButton());

const page = new Page(
  document.querySelector('main')!,
  JSON.parse(meta('strings')) as OverlayStrings,
  asOverlaySubject(JSON.parse(meta('subject')))!,
);
window.addEventListener('message', (event) => page.receive(event.data));
vscode.postMessage({ kind: 'ready' });
