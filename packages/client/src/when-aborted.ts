/**
 * One listener for each signal, however many messages it is for: Node.js takes more than ten for a leak and warns, and to
 * remove one of many takes long.
 */

interface Watch {
  readonly actions: Set<() => void>
  readonly listener: () => void
}

const watches = new WeakMap<AbortSignal, Watch>()

/** Call `action` when the signal aborts; returns how to stop listening. A signal that has aborted calls nothing. */
export function whenAborted(signal: AbortSignal, action: () => void): () => void {
  const { actions, listener } = watches.get(signal) ?? watch(signal)
  actions.add(action)
  return () => {
    if (!actions.delete(action) || actions.size > 0) return
    watches.delete(signal)
    signal.removeEventListener('abort', listener)
  }
}

function watch(signal: AbortSignal): Watch {
  const actions = new Set<() => void>()
  const listener = () => {
    for (const action of actions) action()
  }
  const watch = { actions, listener }
  signal.addEventListener('abort', listener)
  watches.set(signal, watch)
  return watch
}
