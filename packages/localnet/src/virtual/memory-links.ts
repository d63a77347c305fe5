/** Links between nodes (`Links` of `@mixwright/node`) over the switchboard: what TCP is on a real network. */
import type { AcceptOptions, Link, LinkEvents, LinkServer, Links } from '@mixwright/node'
import { concatBytes, MixError } from '@mixwright/runtime'
import type { End, EndEvents } from './connection.js'
import type { Host, Switchboard } from './switchboard.js'

/** The links of the program that runs as `host.process`; addresses to listen on need not be its IP. */
export function memoryLinks(board: Switchboard<Uint8Array>, host: Host): Links {
  return {
    async listen({ port }, { maximumLinks, refused, accepted }: AcceptOptions): Promise<LinkServer> {
      let open = 0
      const server = board.listen(host, port, {
        accepted(end, remoteIp) {
          if (open >= maximumLinks) {
            refused()
            return end.destroy()
          }
          open++
          const events = accepted(new MemoryLink(end, remoteIp))
          end.attach({
            data: (chunk) => events.data(chunk),
            drained: () => events.drained?.(),
            closed() {
              open--
              events.closed()
            },
          })
        },
      })
      if (server === undefined)
        throw new MixError('MIX_PORT_IN_USE', `Port ${port} of ${host.ip} is in use.`, { kind: 'local' })
      return { port: server.port, close: async () => server.close() }
    },

    connect({ host: ip, port }, events: LinkEvents): Link {
      const end = board.connect(host, ip, port)
      // Nothing is told before the caller has the link.
      end.attach(events satisfies EndEvents<Uint8Array>)
      return new MemoryLink(end, ip)
    },
  }
}

class MemoryLink implements Link {
  readonly remoteIp: string
  readonly #end: End<Uint8Array>

  constructor(end: End<Uint8Array>, remoteIp: string) {
    this.#end = end
    this.remoteIp = remoteIp
  }

  get bufferedBytes(): number {
    return this.#end.bufferedBytes
  }

  write(chunks: readonly Uint8Array[], written?: (error?: Error) => void): void {
    const bytes = concatBytes(...chunks)
    this.#end.write(bytes, bytes.length, written)
  }

  pause(): void {
    this.#end.pause()
  }

  resume(): void {
    this.#end.resume()
  }

  destroy(): void {
    this.#end.destroy()
  }
}
