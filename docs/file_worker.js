// Browsers start no workers in pages that are opened as files: run the search, which is one, in a hidden frame.
if (location.protocol === 'file:') {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      const frame = document.createElement('iframe');
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      inside.postMessage = data => this.dispatchEvent(new MessageEvent('message', { data }));
      const script = inside.document.createElement('script');
      this.inside = new Promise(resolve => { script.onload = () => resolve(inside); });
      script.src = address;
      inside.document.body.append(script);
    }

    postMessage(data) {
      this.inside.then(inside => inside.dispatchEvent(new inside.MessageEvent('message', { data })));
    }
  };
}
