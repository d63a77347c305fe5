/**
 * The child's side of an official package in a process of its own: take commands over IPC and answer them. What the package
 * tells of its steps is dropped; what it complains of is passed on. The parent's side is driven-process.ts.
 */
import type { ChildReport } from './driven-process.js'

const reasonOf = (error: unknown) => String((error as Error | undefined)?.message ?? error)

/** Tell the parent. */
export const tell = (report: ChildReport | { readonly kind: string }) => process.send?.(report)

/** Say why, and end. */
export function end(reason: string): void {
  tell({ kind: 'fatal', reason })
  process.exitCode = 1
  process.disconnect?.()
}

/** Before the package is loaded: its console speaks to the parent. */
export function reportComplaints(): void {
  for (const method of ['log', 'info', 'debug'] as const) console[method] = () => {}
  for (const method of ['warn', 'error'] as const)
    console[method] = (...words: unknown[]) => tell({ kind: 'complaint', text: words.map(String).join(' ') })
}

/** Run each command as it comes, several at once; ends when the parent is gone. */
export function obey<Command>(run: (command: Command) => unknown): void {
  process.on('message', async (request: { readonly id: number } & Command) => {
    try {
      tell({ kind: 'done', id: request.id, result: await run(request) })
    } catch (error) {
      tell({ kind: 'failed', id: request.id, reason: reasonOf(error) })
    }
  })
  process.on('uncaughtException', (error) => end(reasonOf(error)))
  process.on('disconnect', () => process.exit())
}
