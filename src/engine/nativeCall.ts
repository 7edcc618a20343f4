import { whenWritten } from './terminal';

let isThreadLeft = false;

/**
 * Notes that a worker thread was left in a native call, which ends with the process at the latest.
 */
export function leaveThread(): void {
  isThreadLeft = true;
}

/**
 * Ends the process as an interrupt does if a thread was left in a native call: Node's own exit
 * waits for all threads. To be called last.
 */
export function endWithLeftThread(): void {
  if (!isThreadLeft) return;
  whenWritten(() => {
    process.removeAllListeners('SIGINT');
    process.kill(process.pid, 'SIGINT');
  });
}
