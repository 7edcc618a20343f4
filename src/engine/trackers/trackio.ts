import { LoraError } from '../../shared/errors';
import { TrackingServer } from './server';
import { settingsOf, type Measured, type TrackedRun, type Tracker } from './tracker';

const DEFAULT_PROJECT = 'lora';

/**
 * Sends a run to a Trackio server, as its client does (trackio.show() says its address). A step
 * that is trained again after a resume has the id that it had before, and is kept once.
 */
export function openTrackio({ record, env }: TrackedRun): Promise<Tracker> {
  const server = serverOf(env);
  const project = env['TRACKIO_PROJECT'] || DEFAULT_PROJECT;
  let config: object | null = { ...settingsOf(record) };
  const entryOf = ({ step, values }: Measured) => ({
    project,
    run: record.name,
    run_id: record.id,
    metrics: values,
    step,
    config,
    log_id: `${record.id}-${step}-${Object.keys(values)[0]!.split('/')[0]!}`,
  });
  return Promise.resolve({
    add: async (measured) => {
      const kwargs = { logs: [entryOf(measured)], hf_token: null };
      await server.ask('api/bulk_log', { args: [], kwargs });
      config = null;
    },
    close: () => Promise.resolve(),
  });
}

function serverOf(env: NodeJS.ProcessEnv): TrackingServer {
  const address = env['TRACKIO_SERVER_URL'];
  if (!address) throw new LoraError('usage', 'TRACKIO_SERVER_URL does not name its server');
  const inAddress = URL.canParse(address) ? new URL(address).searchParams.get('write_token') : null;
  const token = env['TRACKIO_WRITE_TOKEN'] || inAddress;
  const headers = { ...(token && { 'x-trackio-write-token': token }) };
  return new TrackingServer(address, headers, [token ?? '']);
}
