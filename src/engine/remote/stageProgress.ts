import type { EngineProgress } from '../../shared/engineProtocol';
import type { RemoteStage } from '../../shared/remoteRun';

/** What clients of an engine are shown while a run is sent, waits or is brought. */
export function progressOf(stage: RemoteStage): EngineProgress {
  switch (stage.kind) {
    case 'sending':
      return { phase: 'sending', fraction: shareOf(stage.sent, stage.total) };
    case 'fetching':
      return { phase: 'fetching', fraction: shareOf(stage.received, stage.total) };
    case 'checking':
      return { phase: 'sending', fraction: null };
    case 'starting':
    case 'queued':
    case 'lost':
      return { phase: 'waiting', fraction: null };
  }
}

const shareOf = (part: number, total: number): number | null =>
  total === 0 ? null : Math.min(1, part / total);
