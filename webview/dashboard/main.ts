import {
  provideVSCodeDesignSystem,
  vsCodeButton,
  vsCodeDataGrid,
  vsCodeDataGridCell,
  vsCodeDataGridRow,
  vsCodePanels,
  vsCodePanelTab,
  vsCodePanelView,
  vsCodeProgressRing,
} from '@vscode/webview-ui-toolkit';
import type { DashboardStrings } from '../../src/shared/pages/dashboard/strings';
import { meta, reportTrouble } from '../shared/start';
import './dashboard.css';
import { Page } from './page';
import { vscode } from './vscodeApi';

reportTrouble((message) => vscode.postMessage({ kind: 'trouble', message }));

// The toolkit's badge is left out: its template holds a style attribute, which the page's policy
// refuses.
provideVSCodeDesignSystem().register(
  vsCodeButton(),
  vsCodeDataGrid(),
  vsCodeDataGridCell(),
  vsCodeDataGridRow(),
  vsCodePanels(),
  vsCodePanelTab(),
  vsCodePanelView(),
  vsCodeProgressRing(),
);

const page = new Page(
  document.querySelector('main')!,
  JSON.parse(meta('strings')) as DashboardStrings,
  meta('run-dir'),
);
window.addEventListener('message', (event) => page.receive(event.data));
window.addEventListener('scroll', () => page.rememberScroll(window.scrollY), { passive: true });
vscode.postMessage({ kind: 'ready' });
