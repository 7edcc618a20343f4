// Loaded by --require into an engine under test: acts as a debugger of its worker thread. Sets a
// breakpoint at a line of worker.js (LORA_BREAKPOINT, from 0), prints where the worker paused first,
// and lets it continue.
const { Session } = require('node:inspector');
const { isMainThread } = require('node:worker_threads');

function debugWorkers() {
  const session = new Session();
  session.connect();
  const post = (sessionId, method, params = {}) =>
    session.post('NodeWorker.sendMessageToWorker', {
      sessionId,
      message: JSON.stringify({ id: 1, method, params }),
    });
  session.on('NodeWorker.attachedToWorker', ({ params: { sessionId } }) => {
    post(sessionId, 'Debugger.enable');
    post(sessionId, 'Debugger.setBreakpointByUrl', {
      urlRegex: 'worker\\.js$',
      lineNumber: Number(process.env.LORA_BREAKPOINT),
    });
    post(sessionId, 'Runtime.runIfWaitingForDebugger');
  });
  session.on('NodeWorker.receivedMessageFromWorker', ({ params: { sessionId, message } }) => {
    const { method, params } = JSON.parse(message);
    if (method !== 'Debugger.paused') return;
    const isBreakpoint = params.hitBreakpoints.length > 0; // it also pauses at its start
    if (isBreakpoint) console.error(`paused ${JSON.stringify(params.callFrames[0].location)}`);
    post(sessionId, isBreakpoint ? 'Debugger.disable' : 'Debugger.resume');
  });
  session.post('NodeWorker.enable', { waitForDebuggerOnStart: true });
}

if (isMainThread) debugWorkers();
