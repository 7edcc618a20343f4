import {
  provideVSCodeDesignSystem, vsCodeButton, vsCodeDataGrid, vsCodeDataGridCell, vsCodeDataGridRow, vsCodePanels, vsCodePanelTab, vsCodePanelView,
  vsCodeProgressRing,
} from '@vscode/webview-ui-toolkit';
import type { DashboardStrings } from '../../src/shared/dashboardStrings';
import './dashboard.css';
import { Page } from './page';
import { vscode } from './vscodeApi';

const trouble = (message: string) => vscode.postMessage({ kind: 'trouble', message });
window.addEventListener('error', (event) => trouble(event.error instanceof Error ? event.error.stack ?? event.message : event.message));
window.addEventListener('unhandledrejection', (event) => trouble(`Unhandled rejection: ${String(event.reason)}`));
document.addEventListener('securitypolicyviolation', (event) => trouble(`The content policy refused ${event.violatedDirective}: ${event.blockedURI}`));

// The toolkit's badge is left out: its template holds a style attribute, which the page's policy refuses.
provideVSCodeDesignSystem().register(
  vsCodeButton(), vsCodeDataGrid(), vsCodeDataGridCell(), vsCodeDataGridRow(), vsCodePanels(), vsCodePanelTab(), vsCodePanelView(), vsCodeProgressRing(),
);

/** The host puts what the page needs before its first message into meta elements. */
const meta = (name: string) => document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content ?? '';

const page = new Page(document.querySelector('main')!, JSON.parse(meta('strings')) as DashboardStrings, meta('run-dir'));
window.addEventListener('message', (event) => page.receive(event.data));
window.addEventListener('scroll', () => page.rememberScroll(window.scrollY), { passive: true });
vscode.postMessage({ kind: 'ready' });
