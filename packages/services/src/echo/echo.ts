/** The echo service: the same bytes back, by message and by stream. For trying out a network and the clients on it. */
import { type ServeOptions, type Service, serve } from '../serve/serve.js'

/** Start; the options, and the errors, are those of `serve`. */
export function startEcho(options: ServeOptions): Promise<Service> {
  return serve(
    {
      message: (message) => message.data,
      stream: (stream) => stream.readable.pipeTo(stream.writable),
    },
    options,
  )
}
