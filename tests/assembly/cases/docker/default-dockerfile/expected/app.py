PARAMS = {'name': 'Docker User'}

from flask import Flask
app = Flask(__name__)
@app.route('/')
def home():
 return f'Hello, {PARAMS['name']}'
if __name__ == '__main__':
 app.run(host='0.0.0.0', port=7860)