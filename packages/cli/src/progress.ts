/** What is going on, on standard error, when it takes more than a second: on a terminal with the seconds, else one line. */
import type { Clock, Timer } from '@mixwright/runtime'

const SECOND_MS = 1_000

/** Wait for `work`, saying `what` it is if it takes long. */
export async function withProgress<T>(clock: Clock, what: string, work: Promise<T>): Promise<T> {
  const { stderr } = process
  let seconds = 0
  let timer: Timer | undefined
  const tick = () => {
    seconds++
    if (stderr.isTTY) stderr.write(`\r${what} (${seconds} s)`)
    else if (seconds === 1) stderr.write(`${what}\n`)
    timer = clock.setTimer(SECOND_MS, tick, { background: true })
  }
  timer = clock.setTimer(SECOND_MS, tick, { background: true })
  try {
    return await work
  } finally {
    timer.cancel()
    if (stderr.isTTY && seconds > 0) stderr.write('\r\u001b[K')
  }
}
