/** Both ends of a test on TCP: a server at the destination, and an app that speaks bytes. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { listenOn } from '@mixwright/runtime/node'

/** A server at 127.0.0.1 that does this with every connection. */
export async function destination(serve: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    serve(socket)
  })
  const port = await listenOn(server, { host: '127.0.0.1', port: 0 })
  return {
    port,
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** What comes goes back; the end too. */
export const echo = (socket: Socket) => void socket.pipe(socket)

export class RawApp {
  /** Everything that came, and how it ended. */
  readonly ended: Promise<{ readonly received: Buffer; readonly error: string | undefined }>
  #received = Buffer.alloc(0)
  #wake = () => {}

  private constructor(readonly socket: Socket) {
    let error: string | undefined
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      error = code
    })
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    this.ended = new Promise((resolve) => {
      const done = () => {
        resolve({ received: this.#received, error })
        this.#wake()
      }
      socket.once('end', done).once('close', done)
    })
  }

  static async connect(port: number): Promise<RawApp> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    await once(socket, 'connect')
    return new RawApp(socket)
  }

  send(...parts: readonly (string | Uint8Array | readonly number[])[]): void {
    this.socket.write(Buffer.concat(parts.map((part) => Buffer.from(part as Uint8Array))))
  }

  /** The next so many bytes, in hex. */
  async hex(length: number): Promise<string> {
    return (await this.take(length)).toString('hex')
  }

  async take(length: number): Promise<Buffer> {
    while (this.#received.length < length) await this.#more()
    const taken = this.#received.subarray(0, length)
    this.#received = this.#received.subarray(length)
    return taken
  }

  /** Wait until this has come. */
  async until(text: string): Promise<void> {
    while (!this.#received.includes(text)) await this.#more()
  }

  #more(): Promise<void> {
    if (this.socket.readableEnded || this.socket.destroyed)
      throw new Error(`it ended after ${this.#received.toString('latin1')}`)
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}
