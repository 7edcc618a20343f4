/** What a run on a target is doing besides training. Sizes in bytes, reasons in words. */
export type RemoteStage =
  | { readonly kind: 'checking' }
  | { readonly kind: 'sending'; readonly sent: number; readonly total: number }
  /** `step`: what is brought first; null while nothing is. */
  | { readonly kind: 'starting'; readonly step: string | null }
  | { readonly kind: 'queued'; readonly reason: string | null }
  | { readonly kind: 'fetching'; readonly received: number; readonly total: number }
  /** The target no longer knows the job, or has ended it: it can be resumed. */
  | { readonly kind: 'lost'; readonly reason: string | null };
