//! A page in the browser: opened, asked, typed into, and looked at.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::artifacts;
use super::chromium::Browser;
use super::server::Server;

/// A page.
pub(crate) struct Page {
    browser: Browser,
    session: String,
    address: String,
}

impl Page {
    /// Opens a file, and waits until it is loaded.
    pub(crate) fn of_file(path: &Path) -> Self {
        Self::open(&format!("file://{}", path.display()))
    }

    /// Opens an address, and waits until it is loaded.
    pub(crate) fn open(address: &str) -> Self {
        let mut browser = Browser::start();
        let target = browser.call(None, "Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call(None, "Target.attachToTarget", &attach);
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let mut page = Self { browser, session, address: address.to_owned() };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), &json!({}));
        }
        page.call("Performance.enable", &json!({"timeDomain": "threadTicks"}));
        page.size(1280, 800);
        page.call("Page.navigate", &json!({"url": address}));
        page.browser.wait_for("Page.loadEventFired");
        page
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.browser.call(Some(&self.session), method, parameters)
    }

    /// The same page once more, without its script.
    pub(crate) fn reload_without_script(&mut self) {
        self.call("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
        self.browser.events.retain(|event| event["method"] != "Page.loadEventFired");
        self.call("Page.reload", &json!({}));
        self.browser.wait_for("Page.loadEventFired");
        // The page has not run it; the tests' questions are scripts too.
        self.call("Emulation.setScriptExecutionDisabled", &json!({"value": false}));
    }

    /// What an expression of JavaScript is, once it is there.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", &parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// What an expression is as text.
    pub(crate) fn text(&mut self, expression: &str) -> String {
        let value = self.eval(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression} is no text: {value}")).to_owned()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_until(&mut self, expression: &str) {
        for _ in 0..200 {
            if self.eval(expression) == true {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("never came true: {expression}");
    }

    /// Presses keys, by their names (`Tab`, `Enter`, `ArrowDown`, `/`, …).
    pub(crate) fn press(&mut self, keys: &[&str]) {
        for key in keys {
            let text = match *key {
                "Enter" => Some("\r"),
                one if one.chars().count() == 1 => Some(one),
                _ => None,
            };
            let number = match *key {
                "Tab" => 9,
                "Enter" => 13,
                "Escape" => 27,
                "End" => 35,
                "Home" => 36,
                "ArrowLeft" => 37,
                "ArrowUp" => 38,
                "ArrowRight" => 39,
                "ArrowDown" => 40,
                _ => 0,
            };
            let mut event = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": number});
            if let Some(text) = text {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", &event);
            self.call("Input.dispatchKeyEvent", &json!({"type": "keyUp", "key": key}));
        }
    }

    /// What the page has cost so far: CPU time of its thread, in seconds.
    pub(crate) fn cost(&mut self) -> f64 {
        let told = self.call("Performance.getMetrics", &json!({}));
        let metrics = told["metrics"].as_array().unwrap();
        let of_tasks = metrics.iter().find(|metric| metric["name"] == "TaskDuration").unwrap();
        of_tasks["value"].as_f64().unwrap()
    }

    /// Makes the window that large.
    pub(crate) fn size(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Has the reader like it dark or light.
    pub(crate) fn scheme(&mut self, scheme: &str) {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &media);
    }

    /// Keeps what is seen, among the build's artifacts.
    pub(crate) fn screenshot(&mut self, name: &str) {
        // Two frames later everything that has changed is drawn.
        self.eval(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))",
        );
        let shot = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        let picture = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        assert!(picture.len() > 5_000, "nothing to be seen");
        std::fs::write(artifacts().join(name), picture).unwrap();
    }

    /// Fails if anything was written to the console, or asked of anybody but the page's own file.
    pub(crate) fn assert_quiet(&mut self) {
        self.assert_no_complaint();
        let others: Vec<String> =
            self.requests().into_iter().filter(|address| *address != self.address).collect();
        assert!(others.is_empty(), "asked for: {others:?}");
    }

    /// Fails if anything was written to the console, or asked of anybody but that server.
    pub(crate) fn assert_stays_at(&mut self, server: &Server) {
        self.assert_no_complaint();
        let is_here =
            |address: &String| address.starts_with(&server.address()) || address.starts_with("data:");
        let others: Vec<String> = self.requests().into_iter().filter(|address| !is_here(address)).collect();
        assert!(others.is_empty(), "asked for: {others:?}");
    }

    /// Fails if anything was written to the console.
    pub(crate) fn assert_no_complaint(&mut self) {
        self.eval("0");
        let complaint = |event: &&Value| match event["method"].as_str().unwrap_or("") {
            "Runtime.exceptionThrown" => true,
            "Log.entryAdded" => event["params"]["entry"]["level"] == "error",
            "Runtime.consoleAPICalled" => event["params"]["type"] == "error",
            _ => false,
        };
        let complaints: Vec<&Value> = self.browser.events.iter().filter(complaint).collect();
        assert!(complaints.is_empty(), "on the console: {complaints:#?}");
    }

    /// What was asked for.
    pub(crate) fn requests(&self) -> Vec<String> {
        let asked = |event: &&Value| event["method"] == "Network.requestWillBeSent";
        let address = |event: &Value| event["params"]["request"]["url"].as_str().map(str::to_owned);
        self.browser.events.iter().filter(asked).filter_map(address).collect()
    }
}
