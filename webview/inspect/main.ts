import type { InspectStrings } from '../../src/shared/pages/inspect/strings';
import { meta, reportTrouble } from '../shared/start';
import './inspect.css';
import { Page } from './page';
import { vscode } from './vscodeApi';

reportTrouble((message) => vscode.postMessage({ kind: 'trouble', message }));
const page = new Page(
  document.querySelector('main')!,
  JSON.parse(meta('strings')) as InspectStrings,
);
window.addEventListener('message', (event) => page.receive(event.data));
vscode.postMessage({ kind: 'ready' });
